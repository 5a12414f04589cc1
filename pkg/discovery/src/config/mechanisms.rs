//! The ways to discover targets that Prometheus has and that are not built here, each with its keys: enough to tell a correct
//! section from a wrong one.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Secret,
    Number,
    Flag,
    Duration,
    Texts,
    /// A list of `name` with `values`.
    Filters,
}

/// Which keys of an HTTP client there are beside the own ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http {
    All,
    /// Only `tls_config`.
    Tls,
    None,
}

/// What a section must say.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// The key is there and not empty; else this is wrong.
    Required(&'static str, &'static str),
    /// One of these values; what is assumed without the key; what is wrong else, before the value.
    OneOf(&'static str, &'static str, &'static [&'static str], &'static str),
    /// `secret_key` or `secret_key_file`, and not both.
    OneSecretKey,
    /// A URL with a scheme and a host; the words for one without a scheme, and for one without a host.
    Url(&'static str, &'static str, &'static str),
    /// What `url::Url` takes, if anything is there.
    AnyUrl(&'static str, &'static str),
    /// At most one key of each of the two lists, beside one another.
    NotTogether(&'static [&'static str], &'static [&'static str], &'static str),
    /// Only where the key has this value (or none, which is the default), the others are required.
    RequiredIf(&'static str, &'static str, &'static [&'static str]),
    /// Each of the paths begins with a slash.
    Rooted(&'static str),
}

/// A way to discover targets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mechanism {
    pub(super) name: &'static str,
    pub(super) keys: &'static [(&'static str, Kind)],
    pub(super) http: Http,
    pub(super) rules: &'static [Rule],
}

use Kind::{Duration, Filters, Flag, Number, Secret, Text, Texts};
use Rule::{AnyUrl, NotTogether, OneOf, OneSecretKey, Required, RequiredIf, Rooted, Url};

macro_rules! aws {
    ($name:literal, $rules:expr, [$($more:expr),*]) => {
        Mechanism {
            name: $name,
            keys: &[
                ("region", Text),
                ("endpoint", Text),
                ("access_key", Text),
                ("secret_key", Secret),
                ("profile", Text),
                ("role_arn", Text),
                ("external_id", Text),
                ("refresh_interval", Duration),
                ("port", Number),
                $($more),*
            ],
            http: Http::All,
            rules: $rules,
        }
    };
}

macro_rules! plain {
    ($name:literal, [$($key:literal $kind:ident),*], $http:ident, [$($rule:expr),*]) => {
        Mechanism { name: $name, keys: &[$(($key, $kind)),*], http: Http::$http, rules: &[$($rule),*] }
    };
}

const AWS_ROLES: &[&str] = &["ec2", "ecs", "elasticache", "lightsail", "msk", "rds"];
const AZURE_METHODS: &[&str] = &["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"];
const URL_SCHEME: &str = "URL scheme must be 'http' or 'https'";

/// All of them, sorted by name.
pub(super) const MECHANISMS: &[Mechanism] = &[
    aws!(
        "aws",
        &[OneOf("role", "", AWS_ROLES, "unknown AWS SD role")],
        [("role", Text), ("filters", Filters), ("clusters", Texts)]
    ),
    plain!(
        "azure",
        [
            "environment" Text, "port" Number, "subscription_id" Text, "tenant_id" Text, "client_id" Text,
            "client_secret" Secret, "refresh_interval" Duration, "authentication_method" Text, "resource_group" Text
        ],
        All,
        [
            Required("subscription_id", "azure SD configuration requires a subscription_id"),
            RequiredIf("authentication_method", "OAuth", &["tenant_id", "client_id", "client_secret"]),
            OneOf("authentication_method", "OAuth", AZURE_METHODS, "unknown authentication_type")
        ]
    ),
    plain!(
        "digitalocean",
        ["refresh_interval" Duration, "port" Number, "role" Text],
        All,
        [OneOf("role", "droplets", &["droplets", "databases"], "unknown DigitalOcean SD role")]
    ),
    plain!(
        "docker",
        [
            "host" Text, "port" Number, "filters" Filters, "host_networking_host" Text, "refresh_interval" Duration,
            "match_first_network" Flag
        ],
        All,
        [Required("host", "host missing")]
    ),
    plain!(
        "dockerswarm",
        ["host" Text, "role" Text, "port" Number, "filters" Filters, "refresh_interval" Duration],
        All,
        [
            Required("host", "host missing"),
            Required("role", "role missing (one of: tasks, services, nodes)"),
            OneOf("role", "", &["services", "nodes", "tasks"], "invalid role")
        ]
    ),
    aws!("ec2", &[], [("filters", Filters)]),
    aws!("ecs", &[], [("clusters", Texts), ("request_concurrency", Number)]),
    aws!("elasticache", &[], [("clusters", Texts), ("request_concurrency", Number)]),
    plain!(
        "eureka",
        ["server" Text, "refresh_interval" Duration],
        All,
        [
            Required("server", "eureka_sd: empty or null eureka server"),
            Url("server", "eureka_sd: invalid eureka server URL", "eureka_sd: invalid eureka server URL")
        ]
    ),
    plain!(
        "gce",
        [
            "project" Text, "zone" Text, "filter" Text, "refresh_interval" Duration, "port" Number,
            "tag_separator" Text
        ],
        None,
        [
            Required("project", "GCE SD configuration requires a project"),
            Required("zone", "GCE SD configuration requires a zone")
        ]
    ),
    plain!(
        "hetzner",
        ["refresh_interval" Duration, "port" Number, "role" Text, "label_selector" Text],
        All,
        [
            Required("role", "role missing (one of: robot, hcloud)"),
            OneOf("role", "", &["robot", "hcloud"], "unknown role")
        ]
    ),
    plain!(
        "ionos",
        ["datacenter_id" Text, "refresh_interval" Duration, "port" Number],
        All,
        [Required("datacenter_id", "datacenter id can't be empty")]
    ),
    plain!(
        "kuma",
        ["refresh_interval" Duration, "fetch_timeout" Duration, "server" Text, "client_id" Text],
        All,
        [
            Required("server", "kuma SD server must not be empty"),
            Url("server", "kuma SD server must have a scheme", "kuma SD server must have a host")
        ]
    ),
    aws!("lightsail", &[], []),
    plain!(
        "linode",
        ["refresh_interval" Duration, "port" Number, "tag_separator" Text, "region" Text],
        All,
        []
    ),
    plain!(
        "marathon",
        ["servers" Texts, "refresh_interval" Duration, "auth_token" Secret, "auth_token_file" Text],
        All,
        [
            Required("servers", "marathon_sd: must contain at least one Marathon server"),
            NotTogether(
                &["auth_token"],
                &["auth_token_file"],
                "marathon_sd: at most one of auth_token & auth_token_file must be configured"
            ),
            NotTogether(
                &["auth_token", "auth_token_file"],
                &["basic_auth"],
                "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured"
            ),
            NotTogether(
                &["auth_token", "auth_token_file"],
                &["bearer_token", "bearer_token_file"],
                "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be \
                 configured"
            ),
            NotTogether(
                &["auth_token", "auth_token_file"],
                &["authorization"],
                "marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured"
            )
        ]
    ),
    aws!("msk", &[], [("clusters", Texts), ("request_concurrency", Number)]),
    plain!(
        "nerve",
        ["servers" Texts, "paths" Texts, "timeout" Duration],
        None,
        [
            Required("servers", "nerve SD config must contain at least one Zookeeper server"),
            Required("paths", "nerve SD config must contain at least one path"),
            Rooted("paths")
        ]
    ),
    plain!(
        "nomad",
        [
            "allow_stale" Flag, "namespace" Text, "refresh_interval" Duration, "region" Text, "server" Text,
            "tag_separator" Text
        ],
        All,
        []
    ),
    plain!(
        "oci",
        [
            "auth" Text, "tenancy" Text, "user" Text, "fingerprint" Text, "key_file" Text, "key_passphrase" Secret,
            "key_passphrase_file" Text, "region" Text, "compartments" Texts, "port" Number,
            "refresh_interval" Duration
        ],
        All,
        [
            Required("region", "oci_sd: region is required"),
            OneOf("auth", "api_key", &["api_key", "instance_principal"], "oci_sd: unknown auth method"),
            RequiredIf("auth", "api_key", &["tenancy", "user", "fingerprint", "key_file"]),
            NotTogether(
                &["key_passphrase"],
                &["key_passphrase_file"],
                "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured"
            )
        ]
    ),
    plain!(
        "openstack",
        [
            "identity_endpoint" Text, "username" Text, "userid" Text, "password" Secret, "project_name" Text,
            "project_id" Text, "domain_name" Text, "domain_id" Text, "application_credential_name" Text,
            "application_credential_id" Text, "application_credential_secret" Secret, "role" Text, "region" Text,
            "refresh_interval" Duration, "port" Number, "all_tenants" Flag, "availability" Text
        ],
        Tls,
        [
            OneOf("availability", "public", &["public", "internal", "admin"], "unknown availability"),
            Required("role", "role missing (one of: instance, hypervisor, loadbalancer)"),
            OneOf("role", "", &["hypervisor", "instance", "loadbalancer"], "unknown OpenStack SD role"),
            Required("region", "openstack SD configuration requires a region")
        ]
    ),
    plain!(
        "outscale",
        [
            "endpoint" Text, "region" Text, "access_key" Text, "secret_key" Secret, "secret_key_file" Text,
            "refresh_interval" Duration, "port" Number
        ],
        All,
        [
            Required("region", "outscale SD configuration requires a region"),
            Required("access_key", "outscale SD configuration requires access_key"),
            OneSecretKey
        ]
    ),
    plain!(
        "ovhcloud",
        [
            "endpoint" Text, "application_key" Text, "application_secret" Secret, "consumer_key" Secret,
            "refresh_interval" Duration, "service" Text
        ],
        None,
        [
            Required("application_key", "application key can not be empty"),
            Required("application_secret", "application secret can not be empty"),
            Required("consumer_key", "consumer key can not be empty"),
            OneOf("service", "", &["dedicated_server", "vps"], "unknown service")
        ]
    ),
    plain!(
        "puppetdb",
        ["refresh_interval" Duration, "url" Text, "query" Text, "include_parameters" Flag, "port" Number],
        All,
        [
            Required("url", "URL is missing"),
            Url("url", URL_SCHEME, "host is missing in URL"),
            Required("query", "query missing")
        ]
    ),
    aws!("rds", &[], [("filters", Filters), ("clusters", Texts), ("request_concurrency", Number)]),
    plain!(
        "scaleway",
        [
            "project_id" Text, "api_url" Text, "zone" Text, "access_key" Text, "secret_key" Secret,
            "secret_key_file" Text, "name_filter" Text, "tags_filter" Texts, "refresh_interval" Duration,
            "port" Number, "role" Text
        ],
        All,
        [
            Required("role", "role missing (one of: instance, baremetal)"),
            OneOf("role", "", &["instance", "baremetal"], "unknown role"),
            Required("project_id", "project_id is mandatory"),
            OneSecretKey,
            Required("access_key", "access_key is mandatory")
        ]
    ),
    plain!(
        "serverset",
        ["servers" Texts, "paths" Texts, "timeout" Duration],
        None,
        [
            Required("servers", "serverset SD config must contain at least one Zookeeper server"),
            Required("paths", "serverset SD config must contain at least one path"),
            Rooted("paths")
        ]
    ),
    plain!(
        "stackit",
        [
            "project" Text, "refresh_interval" Duration, "port" Number, "region" Text, "endpoint" Text,
            "service_account_key" Secret, "private_key" Secret, "service_account_key_path" Text,
            "private_key_path" Text, "credentials_file_path" Text
        ],
        All,
        [AnyUrl("endpoint", "stackit_sd: invalid endpoint")]
    ),
    plain!(
        "triton",
        [
            "account" Text, "role" Text, "dns_suffix" Text, "endpoint" Text, "groups" Texts, "port" Number,
            "refresh_interval" Duration, "version" Number
        ],
        Tls,
        [
            OneOf(
                "role",
                "container",
                &["container", "cn"],
                "triton SD configuration requires role to be 'container' or 'cn', not"
            ),
            Required("account", "triton SD configuration requires an account"),
            Required("dns_suffix", "triton SD configuration requires a dns_suffix"),
            Required("endpoint", "triton SD configuration requires an endpoint")
        ]
    ),
    plain!(
        "uyuni",
        [
            "server" Text, "username" Text, "password" Secret, "entitlement" Text, "separator" Text,
            "refresh_interval" Duration
        ],
        All,
        [
            Required("server", "Uyuni SD configuration requires server host"),
            Required("username", "Uyuni SD configuration requires a username"),
            Required("password", "Uyuni SD configuration requires a password")
        ]
    ),
    plain!("vultr", ["refresh_interval" Duration, "port" Number], All, []),
];
