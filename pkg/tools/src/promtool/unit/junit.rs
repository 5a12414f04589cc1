//! Results as JUnit XML.

/// The tests of a file.
#[derive(Debug)]
pub(super) struct Suite {
    pub name: String,
    pub cases: Vec<Case>,
}

/// A group of tests.
#[derive(Debug)]
pub(super) struct Case {
    pub name: String,
    pub failures: Vec<String>,
    /// Why nothing of it could be tried.
    pub error: Option<String>,
}

/// The document of all files.
pub(super) fn document(suites: &[Suite], now_ms: i64) -> String {
    let time = model::format_rfc3339_ms(now_ms.div_euclid(1000) * 1000);
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|case| case.failures.len()).sum();
        let errors = suite.cases.iter().filter(|case| case.error.is_some()).count();
        out.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" timestamp=\"{time}\">\n",
            escaped(&suite.name),
            suite.cases.len(),
        ));
        for case in &suite.cases {
            out.push_str(&format!("    <testcase name=\"{}\">\n", escaped(&case.name)));
            for failure in &case.failures {
                out.push_str(&format!("      <failure>{}</failure>\n", escaped(failure)));
            }
            if let Some(error) = &case.error {
                out.push_str(&format!("      <error>{}</error>\n", escaped(error)));
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Text for XML; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
