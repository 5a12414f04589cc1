//! Queriers that are asked by gRPC.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use promql::{Evaluate, Query, QueryError, QueryResult, Times};
use queryapi::QueryClient;
use storage::Ctx;
use telemetry::Metrics;
use transport::grpc::{ClientMetrics, ClientOptions, Compression, connect};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Channels by address, kept as long as the address is known.
pub struct GrpcQueriers {
    options: ClientOptions,
    channels: Mutex<BTreeMap<String, QueryClient>>,
}

impl std::fmt::Debug for GrpcQueriers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcQueriers").finish_non_exhaustive()
    }
}

impl GrpcQueriers {
    pub fn new(metrics: &Metrics) -> Self {
        let options = ClientOptions {
            tls: None,
            compression: Compression::None,
            metrics: ClientMetrics::new(metrics),
            connect_timeout: CONNECT_TIMEOUT,
        };
        Self { options, channels: Mutex::default() }
    }

    /// Forgets the channels of other addresses.
    pub fn retain(&self, addresses: &[String]) {
        self.channels.lock().retain(|address, _| addresses.contains(address));
    }

    /// Asks the querier at `address`. Its protocol has whole seconds: the time is rounded down, as Thanos does.
    ///
    /// # Errors
    /// Those of the querier.
    pub async fn ask(&self, address: &str, ctx: &Ctx, query: &Query) -> Result<QueryResult, QueryError> {
        let client = {
            let mut channels = self.channels.lock();
            match channels.get(address) {
                Some(client) => client.clone(),
                None => {
                    let channel = connect(address, &self.options).map_err(|e| QueryError::Execution(e.to_string()))?;
                    let client = QueryClient::new(address, channel);
                    channels.insert(address.to_owned(), client.clone());
                    client
                }
            }
        };
        let mut query = query.clone();
        if let Times::Instant(time_ms) = query.times {
            query.times = Times::Instant(time_ms.div_euclid(1000) * 1000);
        }
        query.read.lookback_ms = query.read.lookback_ms.div_euclid(1000) * 1000;
        client.evaluate(ctx, query).await
    }
}
