//! Requests over a kept connection that turns out to be dead are sent once more.

use std::error::Error as _;
use std::io::{self, ErrorKind};

use reqwest::{RequestBuilder, Response};

/// Sends a request that does no harm when it is sent twice: once more where the connection ended before an answer began, as
/// a server may end one that is idle at any time.
///
/// # Errors
/// Those of the second request then, else those of the only one.
pub async fn send_again(request: RequestBuilder) -> reqwest::Result<Response> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(e), Some(again)) if has_ended(&e) => again.send().await,
        (answer, _) => answer,
    }
}

fn has_ended(e: &reqwest::Error) -> bool {
    if e.is_connect() || e.is_timeout() {
        return false;
    }
    let mut cause = e.source();
    while let Some(e) = cause {
        let dead = [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];
        if e.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
            || e.downcast_ref::<io::Error>().is_some_and(|e| dead.contains(&e.kind()))
        {
            return true;
        }
        cause = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::ClientConfig;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers as many requests of each connection as are listed, then ends it at the next one.
    async fn server(answers: &'static [usize]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for count in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 4096];
                for _ in 0..*count {
                    assert!(connection.read(&mut bytes).await.is_ok());
                    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                }
                assert!(connection.read(&mut bytes).await.is_ok());
            }
        });
        url
    }

    #[tokio::test]
    async fn a_connection_that_has_ended_is_replaced_once() {
        for (answers, want) in [
            (&[1, 1, 1][..], [true, true, true]),
            // A server that ends each of them is asked twice, and that is told.
            (&[0, 0, 1, 0], [false, true, false]),
        ] {
            let url = server(answers).await;
            let client = ClientConfig::parse("proxy_from_environment: false").unwrap().build().unwrap();
            for want in want {
                let answer = send_again(client.request(reqwest::Method::GET, &url).await.unwrap()).await;
                assert_eq!(answer.is_ok(), want, "{answers:?}: {answer:?}");
                if let Ok(answer) = answer {
                    answer.bytes().await.unwrap();
                }
            }
        }
    }
}
