//! Rule files that are nearly right.

use rules::{ParseOptions, parse};

const FILE: &str = r#"groups:
- name: a
  interval: 1m
  query_offset: 5s
  limit: 10
  labels: {team: x, "other": 'y'}
  rules:
  - record: job:up:sum
    expr: sum by (job) (rate(up{job=~"a|b"}[5m] offset 1h)) > 0 or vector(1)
    labels: {kind: sum}
  - alert: Down
    expr: |
      up == 0
    for: 5m
    keep_firing_for: 1h30m
    annotations:
      summary: "{{ $labels.instance }} is {{ if gt $value 0.0 }}up{{ else }}down{{ end }}"
      more: '{{ range query "up" }}{{ .Labels.job }}{{ end }}'
- {name: b, rules: [{record: r, expr: "1"}]}
"#;
const TOKENS: [&str; 12] = ["{{", "}}", "- ", "\n", ": ", "[", "{", "\"", "'", "&a ", "*a", "\u{0}"];
const MUTATIONS: usize = 3_000;

/// Mistakes are told as such, with a place, and nothing else happens.
#[test]
fn no_text_makes_a_rule_file_panic() {
    assert_eq!(parse("f", FILE, &ParseOptions::default()).unwrap().len(), 2);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..MUTATIONS {
        let mut text: Vec<char> = FILE.chars().collect();
        for _ in 0..=below(3) {
            let from = below(text.len());
            let to = (from + 1 + below(12)).min(text.len());
            match below(3) {
                0 => drop(text.drain(from..to)),
                1 => {
                    let part: Vec<char> = text[from..to].to_vec();
                    text.splice(from..from, part);
                }
                _ => drop(text.splice(from..to, TOKENS[below(TOKENS.len())].chars())),
            }
        }
        let text: String = text.into_iter().collect();
        match parse("f", &text, &ParseOptions { thanos: true, ..ParseOptions::default() }) {
            Ok(_) => good += 1,
            Err(wrong) => {
                assert!(wrong.to_string().contains("line "), "{wrong}: {text}");
                bad += 1;
            }
        }
    }
    assert!(good > MUTATIONS / 50 && bad > MUTATIONS / 50, "{good} good, {bad} bad");
}
