//! The figures as a page.

use crate::asking::median;

/// One of the two sides.
#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Prometheus,
    Aion,
}

/// One query's figures.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    pub id: &'static str,
    /// Whether the answers say the same.
    pub equal: bool,
    /// Our first answer, nothing cached, seconds.
    pub cold_s: f64,
    /// Object requests of that first answer.
    pub requests: f64,
    /// Bytes they brought.
    pub bytes: f64,
    /// CPU seconds of one query, a figure a round; by engine.
    pub cpu: [Vec<f64>; 2],
    /// Wall seconds of each query; by engine.
    pub wall: [Vec<f64>; 2],
}

impl Measured {
    /// Notes a round: CPU seconds for one query, wall seconds of each.
    pub fn add(&mut self, engine: Engine, cpu: f64, walls: &[f64]) {
        self.cpu[engine as usize].push(cpu);
        self.wall[engine as usize].extend(walls);
    }

    fn median_cpu(&self, engine: Engine) -> f64 {
        median(&self.cpu[engine as usize])
    }
}

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub targets: usize,
    pub hours: i64,
    pub rounds: usize,
    pub prometheus: String,
    pub aion: String,
    pub machine: String,
}

/// All figures.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub rows: Vec<Measured>,
    /// Of Prometheus, querier, store.
    pub peak_mib: [f64; 3],
    pub about: About,
}

impl Report {
    /// A page in Markdown.
    pub fn markdown(&self) -> String {
        let about = &self.about;
        let mut out = format!(
            "# Performance\nMeasured by `tests/bench/run.sh` on {}: {}.\n\n{} and {}, the same blocks of {} targets × 200 \
             series × {} h at 15 s; Prometheus from its disk, aion store and query from a bucket in a folder. {} rounds in \
             turn, medians. CPU is user and system time of one query, store and querier together; cold is the first answer \
             with nothing cached. *Equal* means the same series and points, values within 1e-9.\n\n",
            today(),
            about.machine,
            about.prometheus,
            about.aion,
            about.targets,
            about.hours,
            about.rounds
        );
        out.push_str(
            "| query | CPU ms, Prometheus | CPU ms, aion | ratio | wall ms, Prometheus | wall ms, aion | cold ms | cold \
             requests | cold MiB | equal |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
        );
        let mut totals = [0.0; 2];
        for (i, row) in self.rows.iter().enumerate() {
            let (theirs, ours) = (row.median_cpu(Engine::Prometheus), row.median_cpu(Engine::Aion));
            // the last two are lists of names, not queries
            if i < 17 {
                totals[0] += theirs;
                totals[1] += ours;
            }
            out.push_str(&format!(
                "| {} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {:.1} | {} | {:.2} | {} |\n",
                row.id,
                theirs * 1e3,
                ours * 1e3,
                ratio(theirs, ours),
                median(&row.wall[0]) * 1e3,
                median(&row.wall[1]) * 1e3,
                row.cold_s * 1e3,
                row.requests,
                row.bytes / 1048576.0,
                if row.equal { "yes" } else { "**no**" }
            ));
        }
        out.push_str(&format!(
            "| all of q01 to q17 | {:.0} | {:.0} | {} | | | | | | |\n\n",
            totals[0] * 1e3,
            totals[1] * 1e3,
            ratio(totals[0], totals[1])
        ));
        let [prometheus, query, store] = self.peak_mib;
        out.push_str(&format!(
            "| peak memory (VmHWM) | MiB |\n|---|--:|\n| Prometheus | {prometheus:.0} |\n| aion query | {query:.0} |\n\
             | aion store | {store:.0} |\n"
        ));
        out
    }
}

/// How many times less the second is.
fn ratio(theirs: f64, ours: f64) -> String {
    if ours <= 0.0 || theirs <= 0.0 { "–".into() } else { format!("{:.1}", theirs / ours) }
}

fn today() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}
