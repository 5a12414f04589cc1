//! `http_config.tls_config` against a server that wants a client certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use objstore::{Config, ErrorKind, OpenOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls").join(name)
}

/// Answers whatever is asked with 404, to clients that `ca.pem` vouches for.
async fn server(host: &str) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

async fn ask(address: SocketAddr, tls: &str, kind: ErrorKind) {
    let yaml = format!(
        "type: S3\nconfig:\n  bucket: b\n  endpoint: {address}\n  access_key: k\n  secret_key: s\n  max_retries: 1\n  \
         http_config:\n    tls_config: {{{tls}}}\n"
    );
    let bucket = Config::parse(&yaml, &|_| None).unwrap().open(&OpenOptions::default()).unwrap();
    let error = bucket.get("a").await.unwrap_err();
    assert_eq!(error.kind(), kind, "{address}, {tls}: {error}");
}

#[tokio::test]
async fn certificates() {
    let address = server("127.0.0.1").await;
    let ca = format!("ca_file: '{}'", file("ca.pem").display());
    let identity =
        format!("cert_file: '{}', key_file: '{}'", file("client.pem").display(), file("client.key").display());
    for (tls, kind) in [
        (format!("{ca}, {identity}"), ErrorKind::NotFound),
        (format!("insecure_skip_verify: true, {identity}"), ErrorKind::NotFound),
        (format!("{ca}, {identity}, server_name: localhost"), ErrorKind::NotFound),
        (format!("{ca}, {identity}, server_name: elsewhere"), ErrorKind::Unavailable),
        (format!("{identity}, server_name: localhost"), ErrorKind::Unavailable),
        (format!("{ca}, server_name: localhost"), ErrorKind::Unavailable),
        (format!("insecure_skip_verify: true, {identity}, server_name: elsewhere"), ErrorKind::NotFound),
        (ca, ErrorKind::Unavailable),
        (identity.clone(), ErrorKind::Unavailable),
    ] {
        ask(address, &tls, kind).await;
    }
    // An address that the certificate does not name.
    let address = server("127.0.0.2").await;
    let both = format!("ca_file: '{}', {identity}", file("ca.pem").display());
    ask(address, &both, ErrorKind::Unavailable).await;
    ask(address, &format!("{both}, server_name: localhost"), ErrorKind::NotFound).await;
}
