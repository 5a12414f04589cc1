//! The files that Prometheus tests its own configuration with: the good ones load, the bad ones are refused where and for what
//! Prometheus refuses them.

use std::path::{Path, PathBuf};

use config::{Config, ConfigError, LoadOptions, check, load};

/// File, line, and what is said of it. The line is one of the file that is wrong, which may be one that is named in this.
const REFUSED: &[(&str, u32, &str)] = &[
    ("azure_authentication_method.bad.yml", 3, "unknown authentication_type \"invalid\""),
    ("azure_bearertoken_basicauth.bad.yml", 9, "at most one of basic_auth, oauth2, bearer_token & bearer_token_file"),
    ("azure_client_id_missing.bad.yml", 6, "client_id must be set with authentication_method: OAuth"),
    ("azure_client_secret_missing.bad.yml", 7, "client_secret must be set with authentication_method: OAuth"),
    ("azure_subscription_id_missing.bad.yml", 4, "azure SD configuration requires a subscription_id"),
    ("azure_tenant_id_missing.bad.yml", 5, "tenant_id must be set with authentication_method: OAuth"),
    ("bearertoken.bad.yml", 5, "at most one of bearer_token & bearer_token_file"),
    ("bearertoken_basicauth.bad.yml", 5, "at most one of basic_auth, oauth2, bearer_token & bearer_token_file"),
    ("config_with_deprecated_am_api_config.yml", 4, "api_version: \"v1\""),
    ("dropequal.bad.yml", 4, "relabel configuration for dropequal action requires 'target_label'"),
    ("dropequal1.bad.yml", 4, "dropequal action requires only 'source_labels' and `target_label`,"),
    ("ec2_filters_empty_values.bad.yml", 8, "EC2 SD configuration filter values cannot be empty"),
    ("ec2_token_file.bad.yml", 6, "at most one of bearer_token & bearer_token_file"),
    ("empty_alert_relabel_config.bad.yml", 3, "empty or null relabeling rule"),
    ("empty_alertmanager_relabel_config.bad.yml", 4, "empty or null relabeling rule"),
    ("empty_metric_relabel_config.bad.yml", 4, "empty or null relabeling rule"),
    ("empty_rr_config.bad.yml", 2, "empty or null remote read config section"),
    ("empty_rw_config.bad.yml", 2, "empty or null remote write config section"),
    ("empty_rw_relabel_config.bad.yml", 4, "empty or null relabeling rule"),
    ("empty_scrape_config.bad.yml", 2, "empty or null scrape config section"),
    ("empty_scrape_config_action.bad.yml", 4, "relabel configuration for replace action requires 'target_label' value"),
    ("empty_static_config.bad.yml", 4, "empty or null section in static_configs"),
    ("empty_target_relabel_config.bad.yml", 4, "empty or null relabeling rule"),
    ("eureka_invalid_server.bad.yml", 4, "eureka_sd: invalid eureka server URL"),
    ("eureka_no_server.bad.yml", 4, "eureka_sd: empty or null eureka server"),
    ("hetzner_role.bad.yml", 3, "unknown role \"invalid\""),
    ("http_token_file.bad.yml", 6, "at most one of bearer_token & bearer_token_file"),
    ("http_url_bad_scheme.bad.yml", 3, "URL scheme must be 'http' or 'https'"),
    ("http_url_no_host.bad.yml", 3, "host is missing in URL"),
    ("http_url_no_scheme.bad.yml", 3, "URL scheme must be 'http' or 'https'"),
    ("ionos_datacenter.bad.yml", 3, "datacenter id can't be empty"),
    ("jobname.bad.yml", 2, "job_name is empty"),
    ("jobname_dup.bad.yml", 7, "found multiple scrape configs with job name \"prometheus\", the first"),
    ("keepequal.bad.yml", 4, "relabel configuration for keepequal action requires 'target_label'"),
    ("keepequal1.bad.yml", 4, "keepequal action requires only 'source_labels' and `target_label`,"),
    (
        "kubernetes_api_server_with_own_namespace.bad.yml",
        6,
        "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
    ),
    ("kubernetes_authorization_basicauth.bad.yml", 8, "at most one of basic_auth, oauth2 & authorization"),
    ("kubernetes_bearertoken.bad.yml", 9, "at most one of bearer_token & bearer_token_file"),
    (
        "kubernetes_bearertoken_basicauth.bad.yml",
        9,
        "at most one of basic_auth, oauth2, bearer_token & bearer_token_file",
    ),
    (
        "kubernetes_http_config_without_api_server.bad.yml",
        4,
        "to use custom HTTP client configuration please provide the",
    ),
    ("kubernetes_kubeconfig_with_apiserver.bad.yml", 6, "cannot use 'kubeconfig_file' and 'api_server' simultaneously"),
    (
        "kubernetes_kubeconfig_with_http_config.bad.yml",
        5,
        "cannot use a custom HTTP client configuration together with",
    ),
    (
        "kubernetes_kubeconfig_with_own_namespace.bad.yml",
        6,
        "cannot use 'kubeconfig_file' and 'namespaces.own_namespace'",
    ),
    ("kubernetes_namespace_discovery.bad.yml", 6, "unknown key \"foo\""),
    ("kubernetes_role.bad.yml", 4, "role: \"vacation\""),
    ("kubernetes_selectors_duplicated_role.bad.yml", 5, "duplicated selector role: pod"),
    ("kubernetes_selectors_endpoints.bad.yml", 5, "endpoints role supports only pod, service, endpoints selectors"),
    ("kubernetes_selectors_incorrect_selector.bad.yml", 5, "invalid selector: 'metadata.status-Running'"),
    ("kubernetes_selectors_ingress.bad.yml", 5, "ingress role supports only ingress selectors"),
    ("kubernetes_selectors_node.bad.yml", 5, "node role supports only node selectors"),
    ("kubernetes_selectors_pod.bad.yml", 5, "pod role supports only pod, node selectors"),
    ("kubernetes_selectors_service.bad.yml", 5, "service role supports only service selectors"),
    ("labeldrop.bad.yml", 4, "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop2.bad.yml", 4, "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop3.bad.yml", 4, "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop4.bad.yml", 4, "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop5.bad.yml", 4, "labeldrop action requires only 'regex', and no other fields"),
    ("labelkeep.bad.yml", 4, "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep2.bad.yml", 4, "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep3.bad.yml", 4, "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep4.bad.yml", 4, "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep5.bad.yml", 4, "labelkeep action requires only 'regex', and no other fields"),
    ("labelmap.bad.yml", 5, "!!binary must be base64"),
    ("labelname.bad.yml", 3, "must be valid UTF-8"),
    ("labelvalue.bad.yml", 3, "must be valid UTF-8"),
    ("lightsail_token_file.bad.yml", 6, "at most one of bearer_token & bearer_token_file"),
    ("lowercase.bad.yml", 6, "relabel configuration for lowercase action requires 'target_label'"),
    ("lowercase3.bad.yml", 4, "'replacement' can not be set for lowercase action"),
    ("marathon_authtoken_authorization.bad.yml", 8, "marathon_sd: at most one of auth_token, auth_token_file &"),
    ("marathon_authtoken_authtokenfile.bad.yml", 8, "marathon_sd: at most one of auth_token & auth_token_file"),
    ("marathon_authtoken_basicauth.bad.yml", 8, "marathon_sd: at most one of basic_auth, auth_token & auth_token_file"),
    ("marathon_authtoken_bearertoken.bad.yml", 8, "marathon_sd: at most one of bearer_token, bearer_token_file,"),
    ("marathon_no_servers.bad.yml", 9, "marathon_sd: must contain at least one Marathon server"),
    ("metric_name_validation_scheme.bad.yml", 2, "metric_name_validation_scheme: \"invalid_scheme\""),
    ("modulus_missing.bad.yml", 4, "relabel configuration for hashmod requires non-zero modulus"),
    ("oci_authentication_method.bad.yml", 3, "oci_sd: unknown auth method \"invalid\""),
    ("openstack_availability.bad.yml", 3, "unknown availability \"invalid\""),
    ("openstack_role.bad.yml", 3, "unknown OpenStack SD role \"invalid\""),
    ("otlp_allow_utf8.bad.yml", 4, "translation_strategy: \"Invalid\""),
    ("otlp_allow_utf8.incompatible.yml", 4, "OTLP translation strategy \"NoUTF8EscapingWithSuffixes\" is not"),
    (
        "otlp_ignore_resource_attributes_without_promote_all.bad.yml",
        2,
        "'ignore_resource_attributes' cannot be configured unless",
    ),
    ("otlp_no_translation.incompatible.yml", 4, "OTLP translation strategy \"NoTranslation\" is not allowed when UTF8"),
    (
        "otlp_promote_all_resource_attributes.bad.yml",
        3,
        "'promote_all_resource_attributes' and 'promote_resource_attributes'",
    ),
    (
        "otlp_sanitize_ignore_resource_attributes.bad.yml",
        3,
        "invalid 'ignore_resource_attributes': duplicated ignored OTel",
    ),
    (
        "otlp_sanitize_promote_resource_attributes.bad.yml",
        2,
        "invalid 'promote_resource_attributes': duplicated promoted OTel",
    ),
    ("outscale_no_region.bad.yml", 4, "outscale SD configuration requires a region"),
    ("outscale_no_secret.bad.yml", 4, "one of secret_key & secret_key_file"),
    ("outscale_two_secrets.bad.yml", 7, "at most one of secret_key & secret_key_file"),
    ("ovhcloud_bad_service.bad.yml", 3, "unknown service \"fakeservice\""),
    ("ovhcloud_no_secret.bad.yml", 3, "application secret can not be empty"),
    ("puppetdb_bad_url.bad.yml", 3, "host is missing in URL"),
    ("puppetdb_no_query.bad.yml", 3, "query missing"),
    ("puppetdb_no_scheme.bad.yml", 3, "URL scheme must be 'http' or 'https'"),
    ("puppetdb_no_url.bad.yml", 3, "URL is missing"),
    ("puppetdb_token_file.bad.yml", 7, "at most one of bearer_token & bearer_token_file"),
    ("regex.bad.yml", 4, "error parsing regexp: missing closing ): `^(?s:abc(def)$`"),
    ("remote_read_dup.bad.yml", 5, "found multiple remote read configs with job name \"queue1\""),
    ("remote_read_header.bad.yml", 5, "x-prometheus-remote-write-version is a reserved header. It must not"),
    ("remote_read_url_missing.bad.yml", 2, "url for remote_read is empty"),
    ("remote_write_authorization_header.bad.yml", 5, "authorization header must be changed via the basic_auth,"),
    ("remote_write_dup.bad.yml", 5, "found multiple remote write configs with job name \"queue1\""),
    ("remote_write_header.bad.yml", 5, "x-prometheus-remote-write-version is a reserved header. It must not"),
    ("remote_write_queue_capacity_zero.bad.yml", 4, "remote write queue capacity must be positive"),
    (
        "remote_write_queue_max_backoff_less_than_min.bad.yml",
        5,
        "remote write queue max_backoff must not be less than min_backoff",
    ),
    (
        "remote_write_queue_max_samples_per_send_zero.bad.yml",
        4,
        "remote write queue max_samples_per_send must be positive",
    ),
    ("remote_write_queue_max_shards_zero.bad.yml", 4, "remote write queue max_shards must be positive"),
    (
        "remote_write_queue_min_shards_greater_than_max.bad.yml",
        4,
        "remote write queue min_shards must not be greater than max_shards",
    ),
    ("remote_write_queue_min_shards_zero.bad.yml", 4, "remote write queue min_shards must be positive"),
    ("remote_write_url_missing.bad.yml", 2, "url for remote_write is empty"),
    ("remote_write_wrong_msg.bad.yml", 3, "invalid protobuf_message value: \"io.prometheus.writet.v2.Request\""),
    ("rules.bad.yml", 3, "invalid rule file path \"my/*/rule\": only the last part may hold one"),
    ("scaleway_no_secret.bad.yml", 3, "one of secret_key & secret_key_file"),
    ("scaleway_role.bad.yml", 3, "unknown role \"invalid\""),
    ("scaleway_two_secrets.bad.yml", 6, "at most one of secret_key & secret_key_file"),
    ("scrape_body_size_limit.bad.yml", 3, "body_size_limit: \"100\" has no unit: say 100B, or for instance 15MB"),
    ("scrape_config_files.bad.yml", 4, "scrape timeout greater than scrape interval for scrape config with"),
    (
        "scrape_config_files_double_import.bad.yml",
        2,
        "found multiple scrape configs with job name \"prometheus\", first",
    ),
    ("scrape_config_files_duplicate.bad.yml", 2, "found multiple scrape configs with job name \"prometheus\", first"),
    ("scrape_config_files_fallback_scrape_protocol1.bad.yml", 3, "fallback_scrape_protocol: \"prometheusproto\""),
    (
        "scrape_config_files_fallback_scrape_protocol2.bad.yml",
        3,
        "fallback_scrape_protocol: a string is expected here, not a list",
    ),
    ("scrape_config_files_glob.bad.yml", 2, "invalid scrape config file path \"scrape_configs/*/*\": only the last"),
    ("scrape_config_files_global.bad.yml", 4, "scrape timeout greater than scrape interval for scrape config with"),
    (
        "scrape_config_files_global_duplicate.bad.yml",
        2,
        "found multiple scrape configs with job name \"prometheus\", first",
    ),
    ("scrape_config_files_scrape_protocols.bad.yml", 3, "\"prometheusproto\""),
    (
        "scrape_config_files_scrape_protocols2.bad.yml",
        3,
        "duplicated protocol in scrape_protocols: OpenMetricsText1.0.0 for",
    ),
    (
        "scrape_config_utf8_conflicting.bad.yml",
        5,
        "utf8 metric names requested but validation scheme is not set to UTF8",
    ),
    ("scrape_interval.bad.yml", 4, "scrape timeout greater than scrape interval for scrape config with"),
    ("section_key_dup.bad.yml", 4, "the key \"scrape_configs\" is there already"),
    ("stackit_endpoint.bad.yml", 4, "stackit_sd: invalid endpoint \"://invalid\""),
    ("static_config.bad.yml", 4, "must be valid UTF-8"),
    (
        "target_label_hashmod_missing.bad.yml",
        4,
        "relabel configuration for hashmod action requires 'target_label' value",
    ),
    ("target_label_missing.bad.yml", 4, "relabel configuration for replace action requires 'target_label' value"),
    (
        "tracing_invalid_authorization_header.bad.yml",
        5,
        "custom authorization header configuration is not yet supported",
    ),
    ("tracing_invalid_compression.bad.yml", 4, "invalid compression type foo provided, valid options: gzip"),
    ("tracing_invalid_header.bad.yml", 5, "x-prometheus-remote-write-version is a reserved header. It must not"),
    ("tracing_missing_endpoint.bad.yml", 2, "tracing endpoint must be set"),
    ("tsdb_chunk_encoding_floats.bad.yml", 4, "floats: \"xor3\""),
    ("tsdb_chunk_encoding_floats_wrong_case.bad.yml", 4, "floats: \"XOR\""),
    ("tsdb_chunk_encoding_floats_wrong_case_xor2.bad.yml", 4, "floats: \"XOR2\""),
    ("tsdb_retention_percentage.bad.yml", 4, "'storage.tsdb.retention.percentage' must be in the range [0, 100],"),
    (
        "tsdb_retention_percentage_negative.bad.yml",
        4,
        "'storage.tsdb.retention.percentage' must be in the range [0, 100],",
    ),
    ("tsdb_retention_size.bad.yml", 4, "size: not a size in bytes: \"-1GB\" (say 1024, 250MB or 2GiB)"),
    ("tsdb_retention_time.bad.yml", 4, "time: not a valid duration string: \"-1h\""),
    ("unknown_attr.bad.yml", 19, "unknown key \"consult_sd_configs\""),
    ("unknown_global_attr.bad.yml", 2, "unknown key \"nonexistent_field\""),
    ("uppercase.bad.yml", 4, "relabel configuration for uppercase action requires 'target_label'"),
    ("uppercase3.bad.yml", 4, "'replacement' can not be set for uppercase action"),
    ("url_in_targetgroup.bad.yml", 5, "\"http://bad\" is not a valid hostname"),
    ("uyuni_no_server.bad.yml", 4, "Uyuni SD configuration requires server host"),
    ("uyuni_token_file.bad.yml", 8, "at most one of bearer_token & bearer_token_file"),
];

fn env(_: &str) -> Option<String> {
    None
}

/// The files of the folder; `None` where it is not there.
fn files(test: &str) -> Option<Vec<PathBuf>> {
    let dir = testkit::conformance_dir().map(|dir| dir.join("prometheus/config/testdata")).filter(|dir| dir.is_dir());
    let Some(dir) = dir else {
        testkit::skip_without("prometheus/config/testdata in AION_CONFORMANCE_DIR", test);
        return None;
    };
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "yml")).collect();
    paths.sort();
    assert!(paths.len() > 150, "{}", paths.len());
    Some(paths)
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn each_file_is_taken_or_refused() {
    let Some(files) = files("each_file_is_taken_or_refused") else { return };
    let mut wrong = Vec::new();
    for path in files {
        let refused = REFUSED.iter().find(|(file, ..)| *file == name(&path));
        match (check(&path, LoadOptions::default(), &env), refused) {
            (Ok(_), None) if !name(&path).contains(".bad.") => {}
            (Err(ConfigError::Wrong { error, .. }), Some((_, line, why)))
                if error.line == *line && error.column > 0 && error.text.contains(why) => {}
            (Ok(_), _) => wrong.push(format!("{} is taken", path.display())),
            (Err(e), _) => wrong.push(e.to_string()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_shown_is_read_again() {
    let Some(files) = files("what_is_shown_is_read_again") else { return };
    // Variables of the environment are in place when labels are shown, and a dollar is a dollar then.
    let left_out =
        |path: &Path| name(path) == "external_labels.good.yml" || REFUSED.iter().any(|(file, ..)| *file == name(path));
    for path in files.iter().filter(|path| !left_out(path)) {
        let config = Config::parse(&std::fs::read_to_string(path).unwrap(), &env).unwrap();
        let shown = config.to_yaml().unwrap();
        assert!(!shown.contains("mysecret"), "{shown}");
        let again = Config::parse(&shown, &env).unwrap_or_else(|e| panic!("{}: {e}\n{shown}", path.display()));
        assert_eq!(again.to_yaml().unwrap(), shown, "{}", path.display());
    }
}

#[test]
fn agents_have_no_rules_alerts_and_remote_reads() {
    let Some(files) = files("agents_have_no_rules_alerts_and_remote_reads") else { return };
    for path in files.iter().filter(|path| name(path).starts_with("agent_mode.")) {
        let good = ["agent_mode.good.yml", "agent_mode.without_remote_writes.yml"].contains(&name(path));
        match check(path, LoadOptions { agent: true, ..LoadOptions::default() }, &env) {
            Ok(_) => assert!(good, "{}", path.display()),
            Err(e) => assert!(!good && e.to_string().contains("is not allowed in agent mode"), "{e}"),
        }
    }
}

#[test]
fn ways_to_discover_that_are_not_built_are_named() {
    let Some(files) = files("ways_to_discover_that_are_not_built_are_named") else { return };
    let path = files.iter().find(|path| name(path) == "conf.good.yml").unwrap();
    let error = load(path, LoadOptions::default(), &env).unwrap_err();
    let ConfigError::Unsupported(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.len(), 24, "{error}");
    let text = error.to_string();
    for part in [
        "job \"service-ec2\", line ",
        "ec2_sd_configs is not supported",
        "use one of static, file, http, dns, consul, kubernetes",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let loaded = check(path, LoadOptions::default(), &env).unwrap();
    let sections: Vec<&str> = loaded.warnings.iter().map(|warning| warning.section).collect();
    assert_eq!(sections, ["rule_files", "tracing", "query_log_file", "runtime"]);
}
