//! Many targets on one port, in a process of their own: `GET /t/<number>` shows 1 000 series or how many there are to be.
//! Bodies are made once; at each request a few values in them change, so that serving costs little.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use testkit::{Process, free_port, wait_for};

/// What changes in a body: this many digits, at the end of each tenth line.
const DIGITS: usize = 9;

struct Bodies {
    /// The text, and where the changing digits stand.
    template: Vec<u8>,
    changing: Vec<usize>,
    scrapes: AtomicU64,
}

fn bodies(series: usize) -> Bodies {
    let mut template = Vec::new();
    let mut changing = Vec::new();
    let methods = ["GET", "POST", "PUT", "DELETE"];
    for n in 0..series {
        let name = n / 50;
        if n % 50 == 0 {
            template.extend_from_slice(
                format!("# HELP app_requests_{name}_total Requests of kind {name}.\n# TYPE app_requests_{name}_total counter\n").as_bytes(),
            );
        }
        let (method, code, path) = (methods[n % 4], 200 + n % 5, n % 50);
        template.extend_from_slice(
            format!(
                "app_requests_{name}_total{{method=\"{method}\",code=\"{code}\",handler=\"/api/v1/items/{path}\",zone=\"eu-west-{}\"}} ",
                n % 3
            )
            .as_bytes(),
        );
        if n % 10 == 0 {
            changing.push(template.len());
        }
        template.extend_from_slice(b"100000000\n");
    }
    Bodies { template, changing, scrapes: AtomicU64::new(0) }
}

/// Serves until the process is killed.
///
/// # Errors
/// The port is taken.
pub async fn serve(port: u16, series: usize) -> anyhow::Result<()> {
    let shared = Arc::new(bodies(series));
    let page = get(|State(shared): State<Arc<Bodies>>, Path(number): Path<u64>| async move {
        let scrape = shared.scrapes.fetch_add(1, Ordering::Relaxed);
        let mut body = shared.template.clone();
        for (i, at) in shared.changing.iter().enumerate() {
            let digits = format!("{:09}", (100_000_000 + scrape * 7 + number + i as u64) % 1_000_000_000);
            body[*at..*at + DIGITS].copy_from_slice(digits.as_bytes());
        }
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body)
    });
    let app = Router::new().route("/t/{number}", page).with_state(shared);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    axum::serve(listener, app).await?;
    Ok(())
}

/// The process that serves targets. It is killed when dropped.
pub struct Targets {
    _process: Process,
    port: u16,
}

impl Targets {
    /// This program again, as a server of targets of `series` series each.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(series: usize) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-targets").arg(format!("--port={port}")).arg(format!("--series={series}"));
        let process = Process::start(command.stdin(Stdio::null())).context("targets")?;
        let client = tests::client::http()?;
        let up = async || client.get(format!("http://127.0.0.1:{port}/t/0")).send().await.is_ok();
        wait_for("the targets", Duration::from_secs(30), up).await;
        Ok(Self { _process: process, port })
    }

    /// A configuration that scrapes `count` of them.
    pub fn config(&self, count: usize, interval: &str) -> String {
        let mut out = format!(
            "global:\n  scrape_interval: {interval}\nscrape_configs:\n- job_name: app\n  scrape_timeout: {interval}\n  static_configs:\n"
        );
        for n in 0..count {
            out.push_str(&format!(
                "  - targets: [\"127.0.0.1:{}\"]\n    labels: {{__metrics_path__: /t/{n}, instance: \"app-{n}\"}}\n",
                self.port
            ));
        }
        out
    }
}
