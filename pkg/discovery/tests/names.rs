//! Records of DNS names, from a small DNS server: what exists, what does not, and what is not known.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use discovery::config::DnsType;
use discovery::records::{Record, Records, SystemRecords};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;
use tokio::net::UdpSocket;

const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// The name of a question as dotted labels, and where the question ends.
fn question(request: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while request[at] != 0 {
        let end = at + 1 + usize::from(request[at]);
        labels.push(String::from_utf8(request[at + 1..end].to_vec()).unwrap().to_lowercase());
        at = end;
    }
    (labels.join("."), at + 5)
}

fn name(dotted: &str) -> Vec<u8> {
    let label = |label: &str| [&[label.len() as u8], label.as_bytes()].concat();
    let mut out: Vec<u8> = dotted.split('.').flat_map(label).collect();
    out.push(0);
    out
}

/// The code and the records (type, data) that the server has for a name and a type.
fn zone(asked: &str, kind: u16) -> (u8, Vec<(u16, Vec<u8>)>) {
    let a = |last: u8| (1_u16, vec![10, 0, 0, last]);
    match (asked, kind) {
        ("web.example.org" | "short.example.org", 1) => (NO_ERROR, vec![a(2), a(1)]),
        // An alias with the address that it leads to.
        ("alias.example.org", 1) => (NO_ERROR, vec![(5, name("web.example.org"))]),
        ("web.example.org", 28) => (NO_ERROR, vec![(28, [vec![0; 15], vec![1]].concat())]),
        ("web.example.org", 33) => {
            let srv = [vec![0, 1, 0, 2, 0x1F, 0x90], name("a.example.org")].concat();
            (NO_ERROR, vec![(33, srv)])
        }
        ("web.example.org", 15) => (NO_ERROR, vec![(15, [vec![0, 5], name("mail.example.org")].concat())]),
        ("web.example.org", 2) => (NO_ERROR, vec![(2, name("ns.example.org"))]),
        ("empty.example.org", _) => (NO_ERROR, Vec::new()),
        ("broken.example.org" | "half.broken", _) => (SERVER_FAILURE, Vec::new()),
        _ => (NO_SUCH_NAME, Vec::new()),
    }
}

async fn server() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let request = &buffer[..length];
            let (asked, end) = question(request);
            let kind = u16::from_be_bytes([request[end - 4], request[end - 3]]);
            let (code, records) = zone(&asked, kind);
            let mut answer = request[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
            for (kind, data) in records {
                answer.extend([0xC0, 0x0C]);
                answer.extend(kind.to_be_bytes());
                answer.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                answer.extend(data);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn what_names_have() {
    let address = server().await;
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let mut server = NameServerConfig::udp(address.ip());
    server.connections = vec![connection];
    let search = ["example.org.", "broken."].map(|domain| Name::from_utf8(domain).unwrap());
    let config = ResolverConfig::from_parts(None, search.to_vec(), vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_secs(20);
    options.attempts = 1;
    let records = SystemRecords::with(config, options).unwrap();
    let ip = |text: &str| Record::Address(text.parse().unwrap());
    use DnsType::{A, Aaaa, Mx, Ns, Srv};
    for (asked, kind, want) in [
        ("web.example.org", A, vec![ip("10.0.0.2"), ip("10.0.0.1")]),
        ("web.example.org.", Aaaa, vec![ip("::1")]),
        ("web.example.org", Srv, vec![Record::Service("a.example.org.".to_owned(), 8080)]),
        ("web.example.org", Mx, vec![Record::Mail("mail.example.org.".to_owned())]),
        ("web.example.org", Ns, vec![Record::NameServer("ns.example.org.".to_owned())]),
        // By the search list.
        ("short", A, vec![ip("10.0.0.2"), ip("10.0.0.1")]),
        // Names without such records, and names that do not exist.
        ("empty.example.org", A, vec![]),
        ("nobody.example.org.", A, vec![]),
        ("nobody.anywhere", Srv, vec![]),
    ] {
        assert_eq!(records.records(asked, kind).await, Ok(want), "{asked} {kind:?}");
    }
    // No server knows; or one of the names of the search list may exist.
    for asked in ["broken.example.org.", "half"] {
        let found = records.records(asked, A).await;
        assert!(found.as_ref().is_err_and(|why| why.contains("look up")), "{asked}: {found:?}");
    }
}
