//! Alerts and recording rules pass their unit tests, in our tool and in Prometheus'; stock dashboards and alerts find their
//! metrics.

use std::path::Path;
use std::process::Command;

use tests::aion::binary;
use tests::peer::on_path;

use crate::deploy;

fn succeeds(program: &Path, args: &[&str]) {
    let output = Command::new(program).args(args).current_dir(deploy().join("mixin")).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{} {args:?}: {}", program.display(), String::from_utf8_lossy(&text));
}

#[test]
fn alerts_pass_their_tests() {
    succeeds(binary(), &["tools", "check", "rules", "alerts.yml", "rules.yml"]);
    succeeds(binary(), &["tools", "test", "rules", "tests.yml"]);
}

#[test]
fn alerts_pass_their_tests_in_promtool() {
    let Some(promtool) = on_path("promtool") else {
        return testkit::skip_without("promtool on PATH", "alerts_pass_their_tests_in_promtool");
    };
    succeeds(&promtool, &["check", "rules", "alerts.yml", "rules.yml"]);
    succeeds(&promtool, &["test", "rules", "tests.yml"]);
}
