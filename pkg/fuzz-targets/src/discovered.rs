//! What says where targets are and how they are scraped.

use discovery::config::{ConsulConfig, DnsConfig, FileConfig, HttpConfig, StaticConfig, is_other, read_other};
use discovery::consul::Instance;
use scrape::config::{GlobalConfig, ScrapeConfig};
use yaml::Node;

use crate::texts::text;

/// A job with what it inherits; and what its keys say about where targets are. What is shown of it is read again.
pub fn scrape_yaml(data: &[u8]) {
    let Ok(node) = yaml::parse(text(data)) else { return };
    let env = |name: &str| (name == "HOME").then(|| "$HOME".to_owned());
    let global = node.get("global").and_then(|node| GlobalConfig::from_node(node, &env).ok()).unwrap_or_default();
    let Ok((targets, own)) = node.split(|key| key.ends_with("_configs") && !key.contains("relabel")) else { return };
    if let Ok(job) = ScrapeConfig::from_node(&own, &global) {
        let shown = yaml::print(&job).expect("a job can be shown");
        let again = yaml::parse(&shown).and_then(|node| ScrapeConfig::from_node(&node, &GlobalConfig::default()));
        assert!(again.is_ok(), "{shown}: {again:?}");
    }
    for (key, sections) in targets.entries() {
        if is_other(&key.text) {
            drop(read_other(key, sections));
        }
        for section in sections.list().unwrap_or_default() {
            read_section(section);
        }
    }
}

fn read_section(section: &Node) {
    if let Ok(list) = StaticConfig::from_node(section) {
        assert_eq!(list.group(0).targets.len(), list.targets.len());
    }
    drop(FileConfig::from_node(section));
    drop(HttpConfig::from_node(section));
    drop(DnsConfig::from_node(section));
    drop(ConsulConfig::from_node(section));
}

pub(crate) fn scrape_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "global: {scrape_interval: 15s, external_labels: {a: $HOME}}\njob_name: a\nscrape_protocols: [PrometheusProto]\n\
         params: {x: [y]}\nbasic_auth: {username: u, password: p}\nbody_size_limit: 15MB\nrelabel_configs:\n\
         - {source_labels: [a, b], regex: \"(.*);x\", target_label: c, replacement: \"${1}\"}\n\
         static_configs: [{targets: [\"a:1\"], labels: {x: y}}]\n",
        "job_name: &n b\nauthorization: {credentials_file: f}\ntls_config: {ca_file: c, insecure_skip_verify: yes}\n\
         file_sd_configs: [{files: [\"a/*.json\"]}]\nhttp_sd_configs: [{url: \"http://u:p@h/\", refresh_interval: 1m}]\n\
         dns_sd_configs: [{names: [*n], type: AAAA, port: 80}]\nconsul_sd_configs: [{server: \"c:1\", tags: [t]}]\n\
         ec2_sd_configs: [{region: r, filters: [{name: n, values: [v]}], secret_key: s}]\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A list of target groups as an HTTP server gives it.
pub fn http_sd_json(data: &[u8]) {
    if let Ok(groups) = discovery::http::parse_groups("http://a/", data) {
        assert!(groups.iter().all(|group| group.labels.get("__meta_url") == Some("http://a/")));
    }
}

pub(crate) fn http_sd_seeds() -> Vec<Vec<u8>> {
    vec![br#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}, {"targets": []}]"#.to_vec()]
}

/// Instances of a service as Consul gives them.
pub fn consul_instances(data: &[u8]) {
    drop(serde_json::from_slice::<Vec<Instance>>(data));
}

pub(crate) fn consul_seeds() -> Vec<Vec<u8>> {
    let json = r#"[{"Node": {"Node": "n", "Address": "1.1.1.1", "TaggedAddresses": {"wan": "2.2.2.2"}, "Meta": {"a": "b"}},
        "Service": {"ID": "i", "Address": "", "Port": 80, "Tags": ["a"], "Meta": null, "Namespace": "n"},
        "Checks": [{"CheckID": "c", "Status": "passing"}]}]"#;
    vec![json.as_bytes().to_vec()]
}
