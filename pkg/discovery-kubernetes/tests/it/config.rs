//! `kubernetes_sd_configs` as Prometheus reads them.

use discovery_kubernetes::{KubernetesSdConfig, Role};

fn read(text: &str) -> Result<KubernetesSdConfig, String> {
    let node = yaml::parse(text).map_err(|e| e.to_string())?;
    KubernetesSdConfig::from_section(node).map_err(|e| e.to_string())
}

#[test]
fn every_key() {
    let config = read(
        "api_server: https://10.0.0.1:6443\nrole: pod\nbearer_token: abc\nnamespaces: {names: [a, b]}\n\
         selectors:\n- {role: pod, label: 'app in (x,y)', field: status.phase=Running}\n- {role: node, label: pool=a}\n\
         attach_metadata: {node: yes, namespace: true, deployment: true, job: true, cronjob: true}\n",
    )
    .unwrap();
    assert_eq!((config.role, config.api_server.as_deref()), (Role::Pod, Some("https://10.0.0.1:6443")));
    assert_eq!(config.namespaces.names, ["a", "b"]);
    assert_eq!(config.selectors[1].label, "pool=a");
    assert!(config.attach_metadata.node && config.attach_metadata.cronjob);
    let printed = yaml::print(&config).unwrap();
    assert!(!printed.contains("abc") && printed.contains("app in (x,y)"), "{printed}");
}

#[test]
fn defaults_and_paths() {
    let mut config = read("role: endpointslice\nkubeconfig_file: kube/config\nnamespaces:\n").unwrap();
    config.resolve_paths("/etc/p".as_ref());
    assert_eq!(config.kubeconfig_file, std::path::Path::new("/etc/p/kube/config"));
    assert!(config.namespaces.names.is_empty() && config.selectors.is_empty());
    let printed = yaml::print(&read("role: node").unwrap()).unwrap();
    assert!(printed.contains("role: node\nkubeconfig_file: \"\"\n") && !printed.contains("selectors"), "{printed}");
}

#[test]
fn what_is_refused() {
    for (text, why) in [
        ("api_server: x:443", "line 1, column 1: role missing"),
        ("role: vacation", "line 1, column 7: role: \"vacation\" is not one of"),
        ("role: node\nrol: x", "line 2, column 1: unknown key \"rol\"; did you mean role?"),
        ("role: node\nnamespaces:\n  foo: bar", "line 3, column 3: unknown key \"foo\""),
        ("role: node\napi_server: 'http://['", "line 2, column 1: no URL"),
        ("role: node\nselectors: [{label: a}]", "role must be set"),
        ("role: node\nselectors: [{role: node, label: 'a b'}]", "line 2, column 1: invalid label selector 'a b'"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

/// The section below `kubernetes_sd_configs` of one of Prometheus' own files.
fn sections(text: &str) -> Vec<Result<KubernetesSdConfig, yaml::Error>> {
    let file = yaml::parse(text).unwrap();
    let jobs = file.get("scrape_configs").unwrap().list().unwrap();
    let lists = jobs.iter().filter_map(|job| job.get("kubernetes_sd_configs"));
    lists.flat_map(|list| list.list().unwrap()).map(|node| KubernetesSdConfig::from_section(node.clone())).collect()
}

const BAD: [(&str, &str); 17] = [
    ("api_server_with_own_namespace", "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously"),
    ("authorization_basicauth", "at most one of basic_auth, oauth2 & authorization must be configured"),
    ("bearertoken", "at most one of bearer_token & bearer_token_file must be configured"),
    ("bearertoken_basicauth", "at most one of basic_auth, oauth2, bearer_token & bearer_token_file"),
    ("http_config_without_api_server", "provide the 'api_server' URL explicitly"),
    ("kubeconfig_with_apiserver", "cannot use 'kubeconfig_file' and 'api_server' simultaneously"),
    ("kubeconfig_with_http_config", "cannot use a custom HTTP client configuration together with 'kubeconfig_file'"),
    ("kubeconfig_with_own_namespace", "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously"),
    ("namespace_discovery", "\"foo\""),
    ("role", "\"vacation\" is not one of"),
    ("selectors_duplicated_role", "duplicated selector role: pod"),
    ("selectors_endpoints", "endpoints role supports only pod, service, endpoints selectors"),
    ("selectors_incorrect_selector", "can't understand 'metadata.status-Running'"),
    ("selectors_ingress", "ingress role supports only ingress selectors"),
    ("selectors_node", "node role supports only node selectors"),
    ("selectors_pod", "pod role supports only pod, node selectors"),
    ("selectors_service", "service role supports only service selectors"),
];

#[test]
fn the_files_of_prometheus() {
    let Some(dir) = testkit::conformance_dir() else {
        return testkit::skip_without("the conformance data", "the_files_of_prometheus");
    };
    let (mut good, mut bad) = (0, 0);
    for entry in std::fs::read_dir(dir.join("prometheus/config/testdata")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_prefix("kubernetes_") else { continue };
        let found = sections(&std::fs::read_to_string(&path).unwrap());
        assert!(!found.is_empty(), "{name}");
        if name.contains(".good.") {
            good += 1;
            assert!(found.iter().all(Result::is_ok), "{name}: {found:?}");
        } else {
            bad += 1;
            let key = name.split('.').next().unwrap();
            let (_, why) = BAD.iter().find(|(of, _)| *of == key).unwrap_or_else(|| panic!("{name} is new"));
            let error = found.into_iter().find_map(Result::err).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(error.line > 0 && error.text.contains(why), "{name}: {error}");
        }
    }
    assert_eq!((good, bad), (7, 17));
}
