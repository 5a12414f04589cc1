//! From the section `alerting` to a notifier's configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud_auth::{Env, Signer};
use labels::Labels;
use notifier::{AlertmanagerSet, NotifierConfig};

use crate::alerting::{AlertingConfig, AlertmanagerConfig};
use crate::targets::ProviderConfig;

impl AlertingConfig {
    /// Where alerts go, with clients that are ready.
    ///
    /// # Errors
    /// A client that cannot be made, such as for want of a certificate; names the set.
    pub fn notifier(&self, external_labels: Labels, env: &Env) -> Result<NotifierConfig, String> {
        let sets = self.alertmanagers.iter().enumerate().map(|(number, set)| {
            set.made(number, env).map_err(|why| format!("alerting.alertmanagers, set {}: {why}", number + 1))
        });
        let alert_relabel = self.alert_relabel_configs.clone();
        Ok(NotifierConfig { external_labels, alert_relabel, sets: sets.collect::<Result<_, _>>()? })
    }

    /// Where the Alertmanagers of each set are found, by the set's name.
    pub fn providers(&self) -> BTreeMap<String, Vec<ProviderConfig>> {
        let sets = self.alertmanagers.iter().enumerate();
        sets.map(|(number, set)| (set_name(number), set.discovery.providers())).collect()
    }
}

impl AlertmanagerConfig {
    fn made(&self, number: usize, env: &Env) -> Result<AlertmanagerSet, String> {
        let signer = self.sigv4.as_ref().map(|sigv4| Signer::new(sigv4.signing(), env)).transpose();
        Ok(AlertmanagerSet {
            name: set_name(number),
            scheme: self.scheme.clone(),
            path_prefix: self.path_prefix.clone(),
            timeout: self.timeout.std(),
            relabel: self.relabel_configs.clone(),
            alert_relabel: self.alert_relabel_configs.clone(),
            client: self.http.clone().build().map_err(|e| e.to_string())?,
            signer: signer.map_err(|e| e.to_string())?.map(Arc::new),
        })
    }
}

/// As Prometheus names them.
fn set_name(number: usize) -> String {
    format!("config-{number}")
}
