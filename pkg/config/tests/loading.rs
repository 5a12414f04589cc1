//! Files that name others, what is filled in, what is told.

use std::path::{Path, PathBuf};

use config::{Config, LoadOptions, checksum, load};

fn env(name: &str) -> Option<String> {
    (name == "REGION").then(|| "eu".to_owned())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<config::Loaded, String> {
        load(&self.path("prometheus.yml"), LoadOptions::default(), &env).map_err(|e| e.to_string())
    }
}

#[test]
fn jobs_come_from_all_files_and_paths_count_from_theirs() {
    let folder = Folder::new(&[
        (
            "prometheus.yml",
            "global: {scrape_interval: 7s, external_labels: {region: $REGION, zone: '${ZONE}'}}\n\
             scrape_config_files: [jobs/*.yml, none/*.yml]\nrule_files: [rules/*.yml]\n\
             scrape_configs: [{job_name: a, file_sd_configs: [{files: [targets/*.json]}], basic_auth: {password_file: p}}]\n",
        ),
        (
            "jobs/b.yml",
            "scrape_configs: [{job_name: b, tls_config: {ca_file: ../ca}, static_configs: [{targets: [x:1]}]}]",
        ),
        ("jobs/c.yml", ""),
    ]);
    let loaded = folder.load().unwrap();
    let names: Vec<&str> = loaded.jobs.iter().map(|job| job.scrape.job_name.as_str()).collect();
    assert_eq!((names, loaded.config.scrape_configs.len()), (vec!["a", "b"], 1));
    assert_eq!(loaded.jobs[1].scrape.scrape_interval.0, 7000);
    let (a, b) = (loaded.jobs[0].to_yaml().unwrap(), loaded.jobs[1].to_yaml().unwrap());
    let at = |name: &str| folder.path(name).display().to_string();
    assert!(a.contains(&at("targets/*.json")) && a.contains(&at("p")), "{a}");
    assert!(b.contains(&at("jobs/../ca")), "{b}");
    assert_eq!(loaded.config.rule_files, [at("rules/*.yml")]);
    let labels = loaded.config.global.external_labels();
    assert_eq!((labels.get("region"), labels.get("zone")), (Some("eu"), None));
    let told: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    for part in ["the variable ZONE", "rules/*.yml matches no file", "none/*.yml matches no file"] {
        assert!(told.iter().any(|text| text.contains(part)), "{part}: {told:?}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn mistakes_name_their_file_and_line() {
    let folder =
        Folder::new(&[("prometheus.yml", "scrape_config_files: [jobs/*.yml]\nscrape_configs: [{job_name: a}]\n")]);
    for (text, part) in [
        ("scrape_configs:\n- job_name: b\n  unknown: 1\n", "jobs/x.yml: line 3, column 3: unknown key \"unknown\""),
        (
            "scrape_configs:\n- job_name: a\n",
            "jobs/x.yml: line 2, column 3: found multiple scrape configs with job name \"a\", \
          first found in the main file",
        ),
        ("global: {}\n", "jobs/x.yml: line 1, column 1: unknown key \"global\""),
        ("scrape_configs: [\n", "jobs/x.yml: line "),
        ("scrape_configs: a", "jobs/x.yml: line 1, column 17: a list is expected"),
    ] {
        folder.write("jobs/x.yml", text);
        let error = folder.load().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    std::fs::write(folder.path("jobs/x.yml"), b"a: 1\nb: \xff\n").unwrap();
    assert!(folder.load().unwrap_err().ends_with("jobs/x.yml: line 2: not valid UTF-8"));
    let error = load(Path::new("/nowhere/prometheus.yml"), LoadOptions::default(), &env).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/prometheus.yml: "), "{error}");
}

#[test]
fn an_empty_file_is_taken_and_told() {
    for text in ["", "# nothing\n", "global:\n"] {
        let folder = Folder::new(&[("prometheus.yml", text)]);
        let loaded = folder.load().unwrap();
        assert_eq!(loaded.config, Config::default());
        assert_eq!(loaded.warnings.iter().any(|w| w.to_string().contains("is empty")), text != "global:\n", "{text}");
    }
}

#[test]
fn features_change_defaults() {
    let folder = Folder::new(&[(
        "prometheus.yml",
        "scrape_configs: [{job_name: a}, {job_name: b, extra_scrape_metrics: false}]",
    )]);
    let features = scrape::config::FeatureDefaults { protobuf_first: true, extra_scrape_metrics: true };
    let options = LoadOptions { features, ..LoadOptions::default() };
    let loaded = load(&folder.path("prometheus.yml"), options, &env).unwrap();
    let shown: Vec<(usize, bool)> =
        loaded.jobs.iter().map(|job| (job.scrape.scrape_protocols.len(), job.scrape.extra_scrape_metrics)).collect();
    assert_eq!(shown, [(5, true), (5, false)]);
}

#[test]
fn a_checksum_follows_each_file() {
    let folder = Folder::new(&[
        ("prometheus.yml", "scrape_config_files: [jobs/*.yml]\nrule_files: [rules/*.yml]\n"),
        ("jobs/a.yml", "scrape_configs: []"),
        ("rules/a.yml", "groups: []"),
    ]);
    let path = folder.path("prometheus.yml");
    let mut seen = std::collections::BTreeSet::from([checksum(&path).unwrap()]);
    assert_eq!(folder.load().unwrap().hash, *seen.first().unwrap());
    let mut differs = |folder: &Folder| assert!(seen.insert(checksum(&folder.path("prometheus.yml")).unwrap()));
    folder.write("jobs/a.yml", "scrape_configs: [{job_name: a}]");
    differs(&folder);
    folder.write("rules/b.yml", "");
    differs(&folder);
    std::fs::remove_file(folder.path("rules/a.yml")).unwrap();
    differs(&folder);
    folder.write("prometheus.yml", "scrape_config_files: [");
    differs(&folder);
    assert_eq!(checksum(&path).unwrap(), checksum(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    assert!(checksum(&path).is_err());
}

#[test]
fn queues_are_as_the_section_says() {
    let folder = Folder::new(&[(
        "prometheus.yml",
        "remote_write:\n\
         - {url: 'http://a/w', name: one, protobuf_message: io.prometheus.write.v2.Request, send_exemplars: true,\n\
         \x20  remote_timeout: 7s, metadata_config: {send: false}, sigv4: {region: r, access_key: k, secret_key: s},\n\
         \x20  queue_config: {capacity: 5, max_shards: 3, sample_age_limit: 1h, retry_on_http_429: true}}\n\
         - {url: 'http://b/w', azuread: {managed_identity: {client_id: c}}}\n",
    )]);
    let loaded = folder.load().unwrap();
    let queues: Vec<_> = loaded.config.remote_write.iter().map(config::RemoteWriteConfig::queue).collect();
    let first = &queues[0];
    assert_eq!((first.message, first.exemplars), (remote::receive::MessageType::V2, true));
    assert_eq!((first.timeout.as_secs(), first.sample_age_limit.as_secs()), (7, 3600));
    assert_eq!((first.capacity, first.max_shards, first.max_samples_per_send), (5, 3, 2000));
    assert!(first.retry_on_429 && first.metadata.is_none());
    assert!(matches!(&first.auth, Some(cloud_auth::CloudAuth::Aws(aws)) if aws.region == "r"));
    assert!(matches!(&queues[1].auth, Some(cloud_auth::CloudAuth::Azure(_))));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn alertmanagers_are_sets_of_their_own() {
    let folder = Folder::new(&[(
        "prometheus.yml",
        "global: {external_labels: {a: b}}\n\
         alerting:\n\
         \x20 alertmanagers: [{static_configs: [{targets: [x:1]}], path_prefix: p}, {dns_sd_configs: [{names: [y]}]}]\n",
    )]);
    let loaded = folder.load().unwrap();
    let env: cloud_auth::Env = std::sync::Arc::new(|_| None);
    let alerting = &loaded.config.alerting;
    let made = alerting.notifier(loaded.config.global.external_labels(), &env).unwrap();
    let names: Vec<_> = made.sets.iter().map(|set| (set.name.as_str(), set.path_prefix.as_str())).collect();
    assert_eq!(names, [("config-0", "p"), ("config-1", "")]);
    assert_eq!(alerting.providers().keys().collect::<Vec<_>>(), ["config-0", "config-1"]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    folder.write("prometheus.yml", "alerting: {alertmanagers: [{ec2_sd_configs: [{region: x}]}]}");
    assert!(folder.load().unwrap_err().contains("alertmanagers, line 1: ec2_sd_configs is not supported"));
}
