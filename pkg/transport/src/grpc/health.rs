//! `grpc.health.v1.Health` from the component's [`Probe`].

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::http::Probe;

/// The health service: the server as a whole, under the empty name.
pub(super) struct ProbeHealth(pub(super) Probe);

type Watch = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for ProbeHealth {
    type WatchStream = Watch;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match request.get_ref().service.as_str() {
            "" => Ok(Response::new(answer(self.0.is_ready()))),
            other => Err(Status::not_found(format!("unknown service {other:?}, ask for the empty name"))),
        }
    }

    /// Tells the state now and at each change.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        if !request.get_ref().service.is_empty() {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown as i32 };
            return Ok(Response::new(Box::pin(tokio_stream::once(Ok(unknown)).chain(tokio_stream::pending()))));
        }
        Ok(Response::new(Box::pin(self.0.changes().map(|ready| Ok(answer(ready))))))
    }
}

fn answer(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status as i32 }
}
