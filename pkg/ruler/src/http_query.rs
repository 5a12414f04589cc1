//! One querier, asked by Prometheus' HTTP API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use labels::Labels;
use model::{Annotations, parse_go_float};
use promclient::{ClientOptions, HistogramJson, PromClient};
use promql::{InstantSample, Query, QueryError, QueryResult, Times, Value};
use serde::Deserialize;
use storage::{Ctx, PartialResponse};
use transport::http::HttpClient;

const PATH: &str = "/api/v1/query";
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 512 << 20;

/// How queriers are asked.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    pub by_get: bool,
    /// Parameters that Thanos has and Prometheus has not are sent.
    pub thanos_params: bool,
    pub timeout: Duration,
}

/// A querier.
#[derive(Debug, Clone)]
pub struct HttpQuerier {
    base: String,
    http: HttpClient,
    client: PromClient,
    asking: Asking,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    status: String,
    data: Option<Data>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    infos: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar((f64, String)),
    String((f64, String)),
    Matrix(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    histogram: Option<(f64, HistogramJson)>,
}

impl HttpQuerier {
    /// The querier at `base`, a URL without the API's path.
    pub fn new(base: &str, http: HttpClient, asking: Asking) -> Self {
        let options = ClientOptions { timeout: asking.timeout, answer_bytes_max: ANSWER_BYTES_MAX };
        let client = PromClient::new(base, http.clone(), options);
        Self { base: base.trim_end_matches('/').to_owned(), http, client, asking }
    }

    /// Its URL, as errors and warnings name it.
    pub fn name(&self) -> &str {
        self.client.shown_url()
    }

    /// Asks an instant query.
    ///
    /// # Errors
    /// The querier's own words, or why it gave none.
    pub async fn ask(&self, ctx: &Ctx, query: &Query) -> Result<QueryResult, QueryError> {
        let Times::Instant(time_ms) = query.times else {
            return Err(QueryError::Bad("rules ask instant queries only".to_owned()));
        };
        let text = query.expr.as_ref().map_or_else(|| query.text.clone(), |expr| expr.to_string());
        let params = self.params(text, time_ms, query);
        let request = match self.asking.by_get {
            true => self.http.get(&format!("{}{PATH}", self.base)).map(|request| request.query(&params)),
            false => self.http.post(&format!("{}{PATH}", self.base)).map(|request| request.form(&params)),
        };
        let request = request.map_err(|e| QueryError::Execution(format!("{}: {e}", self.name())))?;
        let answered = async {
            let response = self.client.send(PATH, request.timeout(self.asking.timeout)).await?;
            self.client.body(PATH, response, ANSWER_BYTES_MAX).await
        };
        let body = match ctx.cancel.run_until_cancelled(answered).await {
            Some(body) => body.map_err(of_storage)?,
            None => return Err(QueryError::Canceled("rule evaluation".to_owned())),
        };
        // Labels and samples take a few times what their text takes.
        let held = ctx.budget.reserve(4 * body.len() as u64)?;
        let envelope: Envelope = serde_json::from_slice(&body).map_err(|e| {
            QueryError::Execution(format!("{}: answer is not what Prometheus says: {e}", self.client.at(PATH)))
        })?;
        let Some(data) = envelope.data.filter(|_| envelope.status == "success") else {
            return Err(QueryError::Execution(format!("{}: {}", self.client.at(PATH), envelope.error)));
        };
        let mut annotations = Annotations::default();
        envelope.warnings.into_iter().flatten().for_each(|text| annotations.warn(text));
        envelope.infos.into_iter().flatten().for_each(|text| annotations.info(text));
        let value = self.value(data, time_ms)?;
        Ok(QueryResult { value, annotations, stats: Default::default(), held: Some(held.into()) })
    }

    fn params(&self, text: String, time_ms: i64, query: &Query) -> Vec<(&'static str, String)> {
        let mut params = vec![("query", text), ("time", format!("{}", time_ms as f64 / 1000.0))];
        if query.read.lookback_ms > 0 {
            params.push(("lookback_delta", format!("{}", query.read.lookback_ms as f64 / 1000.0)));
        }
        if self.asking.thanos_params {
            params.push(("dedup", "true".to_owned()));
            let partial = query.read.partial_response == PartialResponse::Warn;
            params.push(("partial_response", partial.to_string()));
        }
        params
    }

    fn value(&self, data: Data, time_ms: i64) -> Result<Value, QueryError> {
        let number = |text: &str| {
            parse_go_float(text)
                .map_err(|_| QueryError::Execution(format!("{}: {text:?} is no number", self.client.at(PATH))))
        };
        Ok(match data {
            Data::Scalar((_, text)) => Value::Scalar { time_ms, value: number(&text)? },
            Data::String((_, value)) => Value::String { time_ms, value },
            Data::Matrix(_) => return Err(QueryError::Bad("rules want a vector, not a range of samples".to_owned())),
            Data::Vector(samples) => {
                let mut out = Vec::with_capacity(samples.len());
                for sample in samples {
                    let labels = Labels::from_pairs(sample.metric.iter());
                    let wrong = |why: String| QueryError::Execution(format!("{}: {why}", self.client.at(PATH)));
                    out.push(match (sample.value, sample.histogram) {
                        (_, Some((_, json))) => {
                            let histogram = Some(Arc::new(json.histogram().map_err(wrong)?));
                            InstantSample { labels, value: f64::NAN, histogram }
                        }
                        (Some((_, text)), None) => InstantSample { labels, value: number(&text)?, histogram: None },
                        (None, None) => return Err(wrong(format!("series {labels} has no value"))),
                    });
                }
                Value::Vector { time_ms, samples: out }
            }
        })
    }
}

/// Errors of the connection may go away with another querier, and so may those of the server.
fn of_storage(error: storage::Error) -> QueryError {
    match error {
        storage::Error::Invalid(text) => QueryError::Bad(text),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::RawForm;
    use axum::http::StatusCode;
    use axum::routing::post;
    use transport::http::ClientConfig;

    use super::*;

    /// A querier that answers by the text of the query.
    async fn answer(RawForm(form): RawForm) -> (StatusCode, &'static str) {
        match form.starts_with(b"query=native") {
            true => (
                StatusCode::OK,
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},
                    "histogram":[1.5,{"count":"3","sum":"2.5","buckets":[[0,"0.5","1","3"]]}]}]}}"#,
            ),
            false => (StatusCode::UNPROCESSABLE_ENTITY, r#"{"status":"error","error":"many-to-many matching"}"#),
        }
    }

    #[tokio::test]
    async fn what_a_querier_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route(PATH, post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let http = ClientConfig::default().build().unwrap();
        let asking = Asking { by_get: false, thanos_params: false, timeout: Duration::from_secs(30) };
        let querier = HttpQuerier::new(&base, http, asking);
        let ctx = Ctx::background();

        let result = querier.ask(&ctx, &Query::instant("native", 1500)).await.unwrap();
        let Value::Vector { samples, .. } = result.value else { panic!("{:?}", result.value) };
        let histogram = samples[0].histogram.as_ref().unwrap();
        assert_eq!((histogram.count, histogram.sum, histogram.positive_buckets.len()), (3.0, 2.5, 1));

        // An answer, not a failure of this querier.
        let refused = querier.ask(&ctx, &Query::instant("wrong", 1500)).await.unwrap_err();
        assert!(matches!(&refused, QueryError::Bad(text) if text.contains("many-to-many")), "{refused:?}");
    }
}
