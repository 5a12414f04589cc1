//! `docs/config/`: one page for each YAML configuration, made from the structs that read it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use tests::{commands, root};

use crate::declared::{Key, Source};

/// A page.
struct Page {
    file: &'static str,
    title: &'static str,
    /// What it is for, and which flags take it.
    intro: &'static str,
    /// YAML that is correct.
    example: &'static str,
    tables: &'static [Table],
}

/// The keys of one struct.
struct Table {
    heading: &'static str,
    intro: &'static str,
    source: &'static str,
    name: &'static str,
}

const fn table(heading: &'static str, source: &'static str, name: &'static str) -> Table {
    Table { heading, intro: "", source, name }
}

// Files, or folders in one of whose files the struct stands.
const OBJSTORE: &str = "pkg/objstore/src/config";
const TRACING: &str = "pkg/transport/src/traces";
const CLIENT: &str = "pkg/transport/src/http";
const WEB: &str = "pkg/transport/src/http";
const REQUESTS: &str = "pkg/transport/src/request_log.rs";
const CACHES: &str = "pkg/store-gateway/src/cache_config.rs";
const ENDPOINTS: &str = "pkg/querier/src/endpoints";
const TENANTS: &str = "pkg/querier/src/tenant_file.rs";
const TARGETS: &str = "pkg/discovery/src/file.rs";
const SECTIONS: &str = "pkg/discovery/src/config/sections.rs";
const KUBERNETES: &str = "pkg/discovery-kubernetes/src/config.rs";
const SCRAPE: &str = "pkg/scrape/src/config";
const SERVER: &str = "pkg/config/src";
const MAIN_FILE: &str = "pkg/config/src/main_file.rs";
const RELABEL: &str = "pkg/relabel/src";
const RETENTION: &str = "pkg/compactor/src/policy.rs";
const REWRITE: &str = "pkg/tools/src/bucket/rewrite";
const RULER: &str = "pkg/ruler/src/clients.rs";

const PAGES: &[Page] = &[
    Page {
        file: "objstore",
        title: "The bucket",
        intro: "`--objstore.config-file` names a file, `--objstore.config` holds its text. The format is that of Thanos. \
                `$(NAME)` is replaced by the variable `NAME` of the environment before the YAML is read; a variable that \
                is not set is an error. A key that is not listed here is an error too, which names its line.\n\n\
                Other stores of Thanos are refused with a hint: Tencent COS, Alibaba OSS, Huawei OBS, Baidu BOS, Oracle \
                and OpenStack Swift speak S3's protocol, so `type: S3` reaches them.",
        example: "type: S3\n\
                  config:\n  \
                    bucket: metrics\n  \
                    endpoint: s3.eu-central-1.amazonaws.com\n  \
                    access_key: $(ACCESS_KEY)\n  \
                    secret_key: $(SECRET_KEY)\n\
                  prefix: prod\n",
        tables: &[
            table("The file", OBJSTORE, "Whole"),
            table("`config` of type S3", OBJSTORE, "S3Yaml"),
            table("`config` of type GCS", OBJSTORE, "GcsYaml"),
            table("`config` of type AZURE", OBJSTORE, "AzureYaml"),
            table("`config` of type FILESYSTEM", OBJSTORE, "FilesystemYaml"),
            table("`http_config` of S3, GCS and AZURE", OBJSTORE, "HttpYaml"),
        ],
    },
    Page {
        file: "tracing",
        title: "Tracing",
        intro: "`--tracing.config-file` names a file, `--tracing.config` holds its text. Spans are sent with OTLP. Types \
                that Thanos has and aion cannot send to (`GOOGLE_CLOUD`, `STACKDRIVER`, `ELASTIC_APM`, `LIGHTSTEP`) are \
                taken with a warning: no traces are exported.",
        example: "type: OTLP\n\
                  config:\n  \
                    client_type: grpc\n  \
                    endpoint: collector:4317\n  \
                    insecure: true\n  \
                    sampler_type: parentbasedtraceidratiobased\n  \
                    sampler_param: 0.1\n",
        tables: &[
            table("The file", TRACING, "File"),
            table("`config` of type OTLP", TRACING, "Otlp"),
            Table {
                intro: "Jaeger takes OTLP since version 1.35, which is what is sent. Keys of Jaeger's own protocol that \
                        are not listed are taken without effect.",
                ..table("`config` of type JAEGER", TRACING, "Jaeger")
            },
        ],
    },
    Page {
        file: "http-client",
        title: "HTTP client",
        intro: "`aion sidecar --prometheus.http-client-file` names a file, `--prometheus.http-client` holds its text: how \
                the sidecar talks to Prometheus. The format is Prometheus' `http_config` with Thanos' \
                `transport_config`.",
        example: "basic_auth:\n  \
                    username: aion\n  \
                    password_file: /etc/aion/password\n\
                  transport_config:\n  \
                    idle_conn_timeout: 5m\n",
        tables: &[table("The file", CLIENT, "ClientConfig"), table("A header in `http_headers`", CLIENT, "Header")],
    },
    Page {
        file: "web",
        title: "HTTP server",
        intro: "`--http.config` names a file in the format of Prometheus' exporter-toolkit. Names of files count from the \
                folder of this file. Certificates and keys are read again when they change, users, headers and the rate limit at SIGHUP. `htpasswd -nBC 10 \"\"` makes the hash of a password.",
        example: "http_server_config:\n  \
                    headers:\n    \
                      Strict-Transport-Security: max-age=31536000\n\
                  basic_auth_users:\n  \
                    admin: $2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n\
                  rate_limit:\n  \
                    interval: 10ms\n  \
                    burst: 100\n",
        tables: &[table("The file", WEB, "File")],
    },
    Page {
        file: "request-logging",
        title: "Request logging",
        intro: "`--request.logging-config-file` names a file, `--request.logging-config` holds its text. `--log.level` \
                has the last word: lines of requests that went well are debug lines. The file is read again at SIGHUP.",
        example: "options:\n  \
                    level: DEBUG\n  \
                    decision:\n    \
                      log_end: true\n\
                  http:\n  \
                    config:\n    \
                      - path: /api/v1/query\n      \
                        port: 10902\n",
        tables: &[table("The file", REQUESTS, "Yaml")],
    },
    Page {
        file: "caches",
        title: "Caches of the store",
        intro: "`aion store` caches in its own memory. Configurations of caches in other servers are checked and taken with \
                a warning; a cache in memory is used instead.",
        example: "type: IN-MEMORY\n\
                  config:\n  \
                    max_size: 1GB\n  \
                    max_item_size: 100MB\n",
        tables: &[
            Table {
                intro: "`--index-cache.config-file`, `--index-cache.config`: postings and series of the index.",
                ..table("Index cache", CACHES, "IndexYaml")
            },
            Table {
                intro: "`--store.caching-bucket.config-file`, `--store.caching-bucket.config`: pieces of chunks.",
                ..table("Caching bucket", CACHES, "ChunksYaml")
            },
            table("`config` of type IN-MEMORY", CACHES, "InMemory"),
            table("`config` of type FILESYSTEM", CACHES, "OnDisk"),
            table("`config` of type MEMCACHED", CACHES, "Memcached"),
            table("`config` of type REDIS", CACHES, "Redis"),
            table("`config` of type GROUPCACHE", CACHES, "Groupcache"),
        ],
    },
    Page {
        file: "tenant-limits",
        title: "Limits of tenants",
        intro: "`aion query --query.tenant-limits-file` names a file with limits of single tenants, in place of those of the \
                flags. A tenant is who the header `--query.tenant-header` names. The file is read again when it changes, and \
                at SIGHUP; what runs goes on with the limits that it began with. A file with a mistake leaves the former \
                limits in force.",
        example: "default:\n  \
                    max_series: 100000\n\
                  tenants:\n  \
                    team-a:\n    \
                      tenant_max_concurrent: 4\n    \
                      max_samples: 5000000\n    \
                      timeout: 30s\n  \
                    reports:\n    \
                      max_series: 0\n    \
                      tenant_max_bytes: 4GiB\n",
        tables: &[table("The file", TENANTS, "File")],
    },
    Page {
        file: "endpoints",
        title: "Endpoints of the querier",
        intro: "`aion query --endpoint.sd-config-file` names a file, `--endpoint.sd-config` holds its text. The file is \
                read again when it changes, every `--endpoint.sd-config-reload-interval`, and at SIGHUP. What an entry leaves open comes from \
                `default_client_config`, then from the flags `--grpc-client-…`.",
        example: "default_client_config:\n  \
                    compression: snappy\n\
                  endpoints:\n\
                  - address: sidecar-a:10901\n    \
                    strict: true\n\
                  - address: dnssrv+_grpc._tcp.stores.example.org\n",
        tables: &[
            table("The file", ENDPOINTS, "File"),
            Table {
                intro: "Each file is a list of groups in the format of Prometheus' file discovery, YAML or JSON. \
                        `--endpoint.sd-config-file` is the newer way.",
                ..table("Files of `--store.sd-files`", TARGETS, "Group")
            },
        ],
    },
    Page {
        file: "ruler",
        title: "Queriers and Alertmanagers of the ruler",
        intro: "`aion rule --query.config-file` names a file, `--query.config` holds its text: a list of sets of queriers. \
                `--alertmanagers.config-file` and `--alertmanagers.config` say the same of Alertmanagers, as a list below \
                the key `alertmanagers`.",
        example: "- static_configs: [dns+query.example.org:10902]\n  \
                    scheme: https\n\
                  - grpc_config:\n    \
                      endpoint_addresses: [query-b:10901]\n",
        tables: &[
            table("A set of queriers", RULER, "QuerierYaml"),
            table("A set of Alertmanagers", RULER, "AlertmanagerYaml"),
            table("Files with addresses", RULER, "FileSd"),
            table("Queriers by gRPC", RULER, "GrpcYaml"),
        ],
    },
    Page {
        file: "prometheus",
        title: "Prometheus configuration",
        intro: "`aion server --config.file` names a file in the format of Prometheus 3.14, defaults included. Relative paths \
                count from the folder of the file they stand in. The file is read again at SIGHUP, at `POST /-/reload` and, \
                with `--config.auto-reload`, when it or a file that it names changes. A configuration is put in force as a \
                whole or not at all; a mistake is named with file, line and column.\n\n\
                Each section is read and checked. A warning names those that are not in force: `tracing`, `global.query_log_file` and `runtime`.\n\n\
                Targets are found by `static_configs`, `file_sd_configs`, `http_sd_configs`, `dns_sd_configs`, \
                `consul_sd_configs` and `kubernetes_sd_configs`. The sections of all other mechanisms of Prometheus are \
                checked, and a server does not start with one of them: a tool that writes targets to a file, or serves \
                them by HTTP, takes their place. The keys of [HTTP clients](http-client.md) (`transport_config` excepted) \
                stand beside the own keys of jobs, of `http_sd_configs`, `consul_sd_configs`, `kubernetes_sd_configs`, \
                `alertmanagers`, `remote_write` and `remote_read`. Without a word about proxies these clients use none.",
        example: "global:\n  \
                    scrape_interval: 15s\n  \
                    external_labels:\n    \
                      cluster: eu1\n\
                  scrape_config_files:\n\
                  - jobs/*.yml\n\
                  scrape_configs:\n\
                  - job_name: node\n  \
                    static_configs:\n  \
                    - targets: [localhost:9100]\n\
                  - job_name: apps\n  \
                    http_sd_configs:\n  \
                    - url: https://inventory.example.org/targets\n    \
                      bearer_token_file: token\n",
        tables: &[
            table("`global`", SCRAPE, "GlobalYaml"),
            table("Lists of files", MAIN_FILE, "Lists"),
            Table {
                intro: "Beside these stand the keys that say where targets are, and those of an HTTP client. \
                        `relabel_configs` and `metric_relabel_configs` are lists of [rules](relabel.md).",
                ..table("An entry of `scrape_configs`", SCRAPE, "JobYaml")
            },
            table("An entry of `static_configs`", SECTIONS, "StaticConfig"),
            Table {
                intro: "The files are lists of such entries. They are read at least every 5 s.",
                ..table("An entry of `file_sd_configs`", SECTIONS, "FileConfig")
            },
            table("An entry of `http_sd_configs`", SECTIONS, "HttpYaml"),
            table("An entry of `dns_sd_configs`", SECTIONS, "DnsYaml"),
            table("An entry of `consul_sd_configs`", SECTIONS, "ConsulYaml"),
            table("An entry of `kubernetes_sd_configs`", KUBERNETES, "KubernetesYaml"),
            table("`storage`", SERVER, "StorageYaml"),
            table("`alerting`", SERVER, "AlertingYaml"),
            table("An entry of `alerting.alertmanagers`", SERVER, "AlertmanagerYaml"),
            table("An entry of `remote_write`", SERVER, "RemoteWriteYaml"),
            table("An entry of `remote_read`", SERVER, "RemoteReadYaml"),
            table("`sigv4`", SERVER, "SigV4"),
            table("`azuread`", SERVER, "AzureAd"),
            table("`google_iam`", SERVER, "GoogleIam"),
            table("`otlp`", SERVER, "OtlpConfig"),
            table("`tracing`", SERVER, "TracingConfig"),
            table("`runtime`", MAIN_FILE, "RuntimeConfig"),
        ],
    },
    Page {
        file: "relabel",
        title: "Relabelling",
        intro: "A list of rules as in Prometheus, applied one after the other. `--selector.relabel-config` of `store`, \
                `compact`, `query` and `tools bucket` sees the external labels of a block or endpoint (and `__block_id` for blocks) \
                and decides which are used. `aion tools bucket rewrite --rewrite.to-relabel-config` changes the labels of \
                series.",
        example: "- action: keep\n  \
                    source_labels: [cluster]\n  \
                    regex: eu-.*\n",
        tables: &[table("One rule", RELABEL, "RuleYaml")],
    },
    Page {
        file: "retention",
        title: "Retention by series",
        intro: "`aion compact --retention.policy-file` names a file, `--retention.policy` holds its text. Thanos has no \
                counterpart.",
        example: "rules:\n\
                  - name: slo\n  \
                    match: '{__name__=~\"slo:.*\"}'\n  \
                    raw: 400d\n\
                  - name: debug\n  \
                    match: '{__name__=~\"debug_.*\"}'\n  \
                    raw: 2d\n",
        tables: &[table("The file", RETENTION, "PolicyYaml")],
    },
    Page {
        file: "rewrite",
        title: "Series to delete from a block",
        intro: "`aion tools bucket rewrite --rewrite.to-delete-config-file` names a file, `--rewrite.to-delete-config` holds \
                its text: a list. To delete series from all blocks, see [Deleting series](../operations.md#deleting-series).",
        example: "- matchers: '{__name__=\"up\", instance=\"a:9100\"}'\n  \
                    intervals:\n    \
                      - mint: 1700000000000\n      \
                        maxt: 1700003600000\n",
        tables: &[table("One entry", REWRITE, "DeletionYaml")],
    },
];

/// Structs that read a configuration and are on no page: the first pass over a file, which only reads its type; a file whose
/// only key is a list that is on a page.
const NOT_SHOWN: &[&str] = &["Head", "ScrapeConfigFile"];

/// Where each table's struct stands, and what is declared there.
struct Sources(BTreeMap<PathBuf, Source>);

impl Sources {
    fn read() -> Self {
        let mut files = Vec::new();
        PAGES.iter().flat_map(|p| p.tables).for_each(|t| rust_files(&root().join(t.source), &mut files));
        Self(files.into_iter().map(|path| (path.clone(), Source::read(&path))).collect())
    }

    fn of(&self, table: &Table) -> (&Path, &Source) {
        let at = root().join(table.source);
        let mut found = self.0.iter().filter(|(path, source)| path.starts_with(&at) && source.declares(table.name));
        match (found.next(), found.next()) {
            (Some((path, source)), None) => (path, source),
            (None, _) => panic!("no struct {} in {}: correct tests/tidy/config_pages.rs", table.name, table.source),
            (Some(_), Some(_)) => panic!("two structs {} in {}: name the file", table.name, table.source),
        }
    }
}

fn rust_files(at: &Path, out: &mut Vec<PathBuf>) {
    if at.is_dir() {
        std::fs::read_dir(at).unwrap().flatten().for_each(|entry| rust_files(&entry.path(), out));
    } else if at.extension().is_some_and(|e| e == "rs") {
        out.push(at.to_owned());
    }
}

#[test]
fn config_pages_are_current() {
    let sources = Sources::read();
    let dir = root().join("docs/config");
    let mut seen: Vec<(PathBuf, String)> = Vec::new();
    let mut pages: Vec<(String, String)> =
        PAGES.iter().map(|page| (format!("{}.md", page.file), render(page, &sources, &mut seen))).collect();
    pages.push(("README.md".to_owned(), contents()));
    pages.push(("flags-without-effect.md".to_owned(), without_effect()));
    for (file, text) in pages {
        let path = dir.join(file);
        if std::env::var_os("AION_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        let path = path.display();
        assert!(written == text, "{path} is out of date: AION_UPDATE_DOCS=1 cargo test -p tests --test tidy");
    }
    let shown = |path: &Path, name: &str| NOT_SHOWN.contains(&name) || seen.iter().any(|(s, n)| s == path && n == name);
    let declared = sources.0.iter().flat_map(|(path, s)| s.strict().map(move |name| (path, name)));
    let missing: Vec<_> = declared.filter(|(path, name)| !shown(path, name)).collect();
    assert!(missing.is_empty(), "keys that stand on no page of docs/config: {missing:?}");
}

fn contents() -> String {
    let mut out =
        "# Configuration files\n\nFlags are on the page of each command, [aion server](../components/server.md) say. "
            .to_owned();
    out += "YAML that flags take, or their files hold:\n\n";
    for page in PAGES {
        writeln!(out, "- [{}]({}.md)", page.title, page.file).unwrap();
    }
    out += "- [Flags without effect](flags-without-effect.md)\n";
    out += "\nTypes in the tables: a *duration* is `30s` or `1m30s`, a *size* is a number of bytes or one with a unit (`250MB`), a *file* \
            is a path. The keys of a map follow it with its name before them, those of a list's items with `[]`. An unknown key is an \
            error that names its line, except where a page says otherwise.\n";
    out + &format!("\n{NOTE}")
}

/// A flag of more commands than these is one of all.
const MANY: usize = 6;

/// Flags that are accepted and mean nothing here, hidden ones too.
fn without_effect() -> String {
    let mut flags: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let commands = commands();
    for command in &commands {
        for flag in command.all().filter(|f| !f.ignored.is_empty()) {
            flags.entry((flag.name, flag.ignored)).or_default().push(command.name);
        }
    }
    let mut out =
        "# Flags without effect\n\nA stock command line of Thanos starts as it is. These flags are accepted, and a \
                   warning says at the start that they have no effect.\n\n| flag | of | why |\n|---|---|---|\n"
            .to_owned();
    for ((name, why), of) in flags {
        let of = if of.len() > MANY { "all".to_owned() } else { of.join(", ") };
        writeln!(out, "| `--{name}` | {of} | {why} |").unwrap();
    }
    out + &format!("\n{NOTE}")
}

const NOTE: &str =
    "<!-- made from the declarations; `cargo test -p tests --test tidy` fails when it is out of date -->\n";

fn render(page: &Page, sources: &Sources, seen: &mut Vec<(PathBuf, String)>) -> String {
    let mut out = format!("# {}\n\n{}\n\n```yaml\n{}```\n\n{NOTE}", page.title, page.intro, page.example);
    let elsewhere: Vec<&str> = page.tables.iter().map(|t| t.name).collect();
    for table in page.tables {
        write!(out, "\n## {}\n", table.heading).unwrap();
        if !table.intro.is_empty() {
            write!(out, "{}\n\n", table.intro).unwrap();
        }
        let (path, source) = sources.of(table);
        if let Some(keys) = source.ignored(table.name) {
            let keys: Vec<String> = keys.iter().map(|k| format!("`{k}`")).collect();
            writeln!(out, "Taken without effect: {}.", keys.join(", ")).unwrap();
            continue;
        }
        out += "| key | type | default | meaning |\n|---|---|---|---|\n";
        let mut names = Vec::new();
        for Key { path: key, kind, text, default } in source.keys(table.name, &elsewhere, &mut names) {
            writeln!(out, "| `{key}` | {kind} | {default} | {text} |").unwrap();
        }
        seen.extend(names.into_iter().map(|n| (path.to_owned(), n)));
    }
    out
}

/// The examples that a reader can be handed from outside its crate.
#[test]
fn examples_of_config_pages_are_taken() {
    let example = |file: &str| PAGES.iter().find(|p| p.file == file).map(|p| p.example).unwrap();
    let env = |name: &str| Some(name.to_lowercase());
    objstore::Config::parse(example("objstore"), &env).unwrap();
    relabel::parse_rules(example("relabel")).unwrap();
    transport::traces::TracingConfig::parse(example("tracing")).unwrap();
    transport::RequestLog::parse(example("request-logging")).unwrap();
    transport::http::ClientConfig::parse(example("http-client")).unwrap().build().unwrap();
    transport::http::WebConfig::parse(example("web"), &root()).unwrap();
}
