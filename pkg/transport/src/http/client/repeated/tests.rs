//! Servers as they should be and as they are, asked this way and by the client that can do everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::http::{ClientConfig, HttpClient};

fn client(keys: &str) -> HttpClient {
    ClientConfig::from_section(&yaml::parse(&format!("{{{keys}}}")).unwrap()).unwrap().build().unwrap()
}

/// A server that gives each connection these answers, one a request, and then closes it.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answers: &'static [&'static [u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                for answer in answers {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
                    let _ = stream.write_all(answer).await;
                }
                // Bytes that were not read would make it a reset.
                let _ = stream.shutdown().await;
                tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
            }
        });
        Self { url, connections }
    }

    fn repeated(&self) -> RepeatedGet {
        client("").repeated(&self.url, &[]).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[derive(Debug, PartialEq)]
struct Whole {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

async fn get(repeated: &mut RepeatedGet) -> Result<Whole, GetError> {
    let mut answer = repeated.ask().await?;
    let mut body = Vec::new();
    while answer.read_into(&mut body).await? > 0 {}
    let whole = Whole { status: answer.status.as_u16(), content_type: answer.content_type.clone(), body };
    repeated.keep(answer);
    Ok(whole)
}

async fn get_by_client(url: &str) -> Result<Whole, reqwest::Error> {
    let answer = client("follow_redirects: false").request(Method::GET, url).await.unwrap().send().await?;
    let content_type = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let (status, content_type) = (answer.status().as_u16(), content_type.unwrap_or_default());
    Ok(Whole { status, content_type, body: answer.bytes().await?.to_vec() })
}

const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n";

/// Answers, and what is wrong with them where something is.
const ANSWERS: &[(&[u8], Option<&str>)] = &[
    (PLAIN, None),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
    (b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\na 1\n", None),
    (b"HTTP/1.1 200 OK\r\n\r\nup to the end", None),
    (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", None),
    (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", None),
    (b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:   1  \r\n\r\nx", None),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", None),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", Some("bad Content-Length \"2\"")),
    (b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", Some("bad Content-Length \"+1\"")),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx", Some("bad Content-Length")),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", Some("unexpected EOF")),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx and more", None),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n1;x=y\r\n\n\r\n0\r\n\r\n", None),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nx: y\r\nz: 1\r\n\r\n", None),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n", None),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n", Some("unexpected EOF")),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\na 1\r\n", Some("unexpected EOF")),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\na\r\n0\r\n\r\n", Some("malformed chunked encoding")),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", Some("malformed chunked encoding")),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx",
        Some("malformed chunked encoding"),
    ),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", Some("unexpected EOF")),
    (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", None),
    (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno", None),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", None),
    (b"HTTP/1.1 304 Not Modified\r\n\r\n", None),
    (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", None),
    (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", None),
    (b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", Some("malformed HTTP response")),
    (b"HTTP/2 200 OK\r\n\r\n", Some("malformed HTTP response")),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Some("malformed HTTP response")),
    (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", Some("malformed HTTP response")),
    (b"HTTP/1.1 200 OK\r\nContent-Le", Some("unexpected EOF")),
    (b"", Some("EOF")),
];

#[tokio::test]
async fn as_the_client_does() {
    for (answer, why) in ANSWERS {
        let shown = String::from_utf8_lossy(answer);
        let server = Server::start(vec![*answer].leak()).await;
        let (got, want) = (get(&mut server.repeated()).await, get_by_client(&server.url).await);
        match (got, want, why) {
            (Ok(got), Ok(want), None) => assert_eq!(got, want, "{shown}"),
            (Err(e), Err(_), Some(why)) => assert!(e.to_string().contains(why), "{shown}: {e}"),
            other => panic!("{shown}: {other:?}"),
        }
        let of_bytes = read_answer(answer);
        assert_eq!(of_bytes.is_ok(), why.is_none(), "{shown}: {of_bytes:?}");
    }
}

/// However the bytes are cut into pieces.
#[tokio::test]
async fn in_pieces() {
    async fn read(pieces: impl AsyncRead + Unpin + Send) -> Result<(u16, Vec<u8>), String> {
        let mut answer = GetAnswer::read(pieces).await.map_err(|e| e.into_error().to_string())?;
        let mut body = Vec::new();
        while answer.read_into(&mut body).await.map_err(|e| e.to_string())? > 0 {}
        Ok((answer.status.as_u16(), body))
    }
    for (answer, _) in ANSWERS {
        let want = read(*answer).await;
        for cut in 0..answer.len() {
            let (head, tail) = answer.split_at(cut);
            assert_eq!(read(head.chain(tail)).await, want, "{:?} | {:?}", head.escape_ascii(), tail.escape_ascii());
        }
    }
    // Chunks that are read to where they stay, and such as are read ahead.
    let (mut answer, mut want) = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), Vec::new());
    for bytes in [1usize, 3000, 100_000, 40_000, 16 << 10, 5] {
        let chunk: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
        answer.extend_from_slice(format!("{bytes:X}\r\n").as_bytes());
        answer.extend_from_slice(&chunk);
        answer.extend_from_slice(b"\r\n");
        want.extend_from_slice(&chunk);
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    for cut in (0..answer.len()).step_by(977) {
        let (head, tail) = answer.split_at(cut);
        assert_eq!(read(head.chain(tail)).await, Ok((200, want.clone())), "{cut}");
    }
}

#[tokio::test]
async fn limits() {
    let long = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 70 << 10], b"\r\n\r\n".to_vec()].concat();
    let interim = [&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(6)[..], PLAIN].concat();
    let many = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(200), b"\r\n".to_vec()].concat();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = [&chunked[..], b"1;", &vec![b'x'; 40 << 10][..], b"\r\nx\r\n0\r\n\r\n"].concat();
    let trailer = [&chunked[..], b"0\r\n", &b"x: y\r\n".repeat(4000)[..], b"\r\n"].concat();
    for (answer, why) in [
        (long, "response headers exceeded"),
        (interim, "too many 1xx"),
        (many, "too many headers"),
        (extension, "malformed chunked encoding"),
        (trailer, "trailer header exceeds"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_vec(), "unsupported transfer encoding"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nHTTP/1.1 ".to_vec(), "101 Switching Protocols"),
    ] {
        let got = read_answer(&answer).map_or_else(|e| e.to_string(), |(status, _)| status.to_string());
        assert!(got.contains(why), "{why}: {got}");
    }
    // A length is no reason to take so much memory.
    let mut answer = GetAnswer::read(&b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nx"[..]).await;
    let mut body = Vec::new();
    let Ok(answer) = &mut answer else { panic!("a head") };
    while answer.read_into(&mut body).await.is_ok() {}
    assert!(body.capacity() < 1 << 20);
}

#[tokio::test]
async fn one_connection_for_many_requests() {
    for (answer, reused) in [
        (PLAIN, true),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n", true),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 4\r\n\r\na 1\n", true),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\na 1\n", false),
        (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 4\r\n\r\na 1\n", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n and more", false),
    ] {
        let server = Server::start(vec![answer; 3].leak()).await;
        let mut repeated = server.repeated();
        for _ in 0..3 {
            assert_eq!(get(&mut repeated).await.unwrap().body, b"a 1\n");
        }
        assert_eq!(server.connections(), if reused { 1 } else { 3 }, "{}", String::from_utf8_lossy(answer));
        // Where its configuration changes, it goes on.
        let mut next = server.repeated();
        next.inherit(repeated);
        assert_eq!(next.kept.is_some(), reused);
        let mut elsewhere = Server::start(&[PLAIN]).await.repeated();
        elsewhere.inherit(next);
        assert!(elsewhere.kept.is_none(), "it is another server's");
    }
}

/// It is closed behind each answer, or instead of the second one: no request fails for that.
#[tokio::test]
async fn a_connection_that_the_server_closes() {
    for answers in [&[PLAIN][..], &[PLAIN, b""]] {
        let server = Server::start(answers).await;
        let mut repeated = server.repeated();
        for n in 1..5 {
            assert_eq!(get(&mut repeated).await.unwrap().body, b"a 1\n");
            assert_eq!(server.connections(), n);
        }
    }
    // Once it has begun to answer, it is not asked again.
    let server = Server::start(&[PLAIN, b"HTTP"]).await;
    let mut repeated = server.repeated();
    get(&mut repeated).await.unwrap();
    assert_eq!(get(&mut repeated).await.unwrap_err().to_string(), "unexpected EOF");
    assert_eq!(server.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_for_long() {
    let server = Server::start(&[PLAIN, PLAIN]).await;
    let mut repeated = client("transport_config: {idle_conn_timeout: 10s}").repeated(&server.url, &[]).unwrap();
    for (idle_s, connections) in [(1, 1), (9, 1), (11, 2)] {
        tokio::time::advance(Duration::from_secs(idle_s)).await;
        get(&mut repeated).await.unwrap();
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut repeated = client("").repeated(&format!("http://{address}/"), &[]).unwrap();
    let error = repeated.ask().await.unwrap_err().to_string();
    assert_eq!(error, format!("dial tcp {address}: connect: connection refused"));
    let mut repeated = client("").repeated("http://host.invalid/", &[]).unwrap();
    let error = repeated.ask().await.unwrap_err().to_string();
    assert!(error.starts_with("dial tcp: lookup host.invalid: "), "{error}");
}

#[tokio::test]
async fn redirects() {
    let server = Server::start(&[b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"]).await;
    assert!(server.repeated().ask().await.unwrap().is_redirect);
    let mut repeated = client("follow_redirects: false").repeated(&server.url, &[]).unwrap();
    assert!(!repeated.ask().await.unwrap().is_redirect);
    let server = Server::start(&[b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"]).await;
    assert!(!server.repeated().ask().await.unwrap().is_redirect, "to nowhere");
}

#[test]
fn requests() {
    let text = |keys: &str, url: &str| {
        let headers = [(http::header::ACCEPT, "text/plain;q=0.5")];
        let repeated = client(keys).repeated(url, &headers)?;
        Some((repeated.server.to_string(), String::from_utf8(repeated.request).unwrap()))
    };
    let agent = super::super::build::USER_AGENT;
    for (keys, url, server, want) in [
        (
            "",
            "http://a.example:9100/m?x=y%20z",
            "http://a.example:9100/",
            "GET /m?x=y%20z HTTP/1.1\nHost: a.example:9100\nUser-Agent: AGENT\n",
        ),
        ("", "http://a:80", "http://a:80/", "GET / HTTP/1.1\nHost: a\nUser-Agent: AGENT\n"),
        ("", "http://[::1]:9/", "http://[::1]:9/", "GET / HTTP/1.1\nHost: [::1]:9\nUser-Agent: AGENT\n"),
        (
            "basic_auth: {username: u, password: p}",
            "http://a/",
            "http://a:80/",
            "GET / HTTP/1.1\nHost: a\nUser-Agent: AGENT\nAuthorization: Basic dTpw\n",
        ),
        (
            "authorization: {credentials: c}",
            "http://a/",
            "http://a:80/",
            "GET / HTTP/1.1\nHost: a\nUser-Agent: AGENT\nAuthorization: Bearer c\n",
        ),
        (
            "http_headers: {x-scope: {values: [b, c]}}",
            "http://a/",
            "http://a:80/",
            "GET / HTTP/1.1\nHost: a\nUser-Agent: AGENT\nX-Scope: b\nX-Scope: c\n",
        ),
    ] {
        let (got_server, got) = text(keys, url).unwrap();
        assert_eq!(got_server, server);
        let want = format!("{want}Accept: text/plain;q=0.5\n\n").replace("AGENT", agent).replace('\n', "\r\n");
        assert_eq!(got, want);
    }
    for (keys, url) in [
        ("", "https://a/"),
        ("", "not a url"),
        ("proxy_url: 'http://p'", "http://a/"),
        ("proxy_from_environment: true", "http://a/"),
        ("basic_auth: {username: u, password_file: f}", "http://a/"),
        ("authorization: {credentials_file: f}", "http://a/"),
        ("http_headers: {x: {files: [f]}}", "http://a/"),
        ("oauth2: {client_id: i, token_url: 'http://t'}", "http://a/"),
    ] {
        assert_eq!(text(keys, url), None, "{keys} {url}");
    }
    assert!(ClientConfig::default().build().unwrap().repeated("http://a/", &[]).is_none(), "the environment's proxy");
}
