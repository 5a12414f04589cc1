//! The receiver of OTLP, as the configuration in force wants it.

use std::sync::Arc;

use ::otlp::{DeltaMode, Receiver, ReceiverDeps, ReceiverOptions, Settings, Strategy};
use config::{Loaded, OtlpConfig, TranslationStrategy};
use parking_lot::Mutex;

use crate::config::Config;
use crate::in_force::InForce;

/// The receiver but for its store, clock and budget.
pub fn receiver(
    config: &Config,
    seed: u64,
    in_force: Arc<InForce>,
    deps: impl FnOnce(SettingsOf) -> ReceiverDeps,
) -> Receiver {
    let options = ReceiverOptions {
        decoded_bytes_max: config.receiver.request_bytes_max,
        labels: config.limits.labels,
        delta_streams_max: config.otlp.delta_streams_max,
        seed,
        ..ReceiverOptions::default()
    };
    let known = (config.otlp.delta, config.features.type_and_unit_labels, config.engine.lookback_ms);
    // The settings are made once for each configuration.
    let latest: Mutex<Option<(Arc<Loaded>, Arc<Settings>)>> = Mutex::new(None);
    let settings = move || {
        let loaded = in_force.loaded();
        let mut latest = latest.lock();
        if let Some((of, settings)) = &*latest
            && Arc::ptr_eq(of, &loaded)
        {
            return settings.clone();
        }
        let settings = Arc::new(settings(&loaded.config.otlp, known));
        *latest = Some((loaded, settings.clone()));
        settings
    };
    Receiver::new(options, deps(Arc::new(settings)))
}

/// How metrics become series, by the configuration in force.
pub type SettingsOf = Arc<dyn Fn() -> Arc<Settings> + Send + Sync>;

fn settings(otlp: &OtlpConfig, (delta, type_and_unit_labels, lookback_ms): (DeltaMode, bool, i64)) -> Settings {
    let attributes = match otlp.promote_all_resource_attributes {
        true => &otlp.ignore_resource_attributes,
        false => &otlp.promote_resource_attributes,
    };
    Settings {
        strategy: match otlp.translation_strategy {
            TranslationStrategy::UnderscoreEscapingWithSuffixes => Strategy::UnderscoreEscapingWithSuffixes,
            TranslationStrategy::NoUtf8EscapingWithSuffixes => Strategy::NoUtf8EscapingWithSuffixes,
            TranslationStrategy::UnderscoreEscapingWithoutSuffixes => Strategy::UnderscoreEscapingWithoutSuffixes,
            TranslationStrategy::NoTranslation => Strategy::NoTranslation,
        },
        promote_all_resource_attributes: otlp.promote_all_resource_attributes,
        resource_attributes: attributes.iter().cloned().collect(),
        keep_identifying_resource_attributes: otlp.keep_identifying_resource_attributes,
        convert_histograms_to_nhcb: otlp.convert_histograms_to_nhcb,
        promote_scope_metadata: otlp.promote_scope_metadata,
        label_name_underscore_sanitization: otlp.label_name_underscore_sanitization,
        label_name_preserve_multiple_underscores: otlp.label_name_preserve_multiple_underscores,
        type_and_unit_labels,
        delta,
        lookback_ms,
    }
}
