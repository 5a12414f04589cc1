//! What every component of `aion` has in common, so that a component is its configuration, its parts and its routes only.
//!
//! A component implements [`Component`], its settings [`Config`]. [`run`] reads the flags, binds the [`Listeners`], builds
//! the component and [`serve`]s it: probes and metrics, the component's HTTP routes and [`GrpcServices`], its tasks with
//! one fate, [`Reloads`] at SIGHUP, and a shutdown within the longest grace period of all parts. What a component gets
//! from outside is in [`Deps`]; tests give a simulated clock, a bucket in memory and listeners on port 0.
//!
//! The settings of a component are composed of its owners' parts, each of which reads its own flags: [`HttpConfig`],
//! [`GrpcConfig`], [`BucketConfig`], [`StoreConfig`].

mod bucket;
mod component;
mod deps;
mod error;
mod grpc;
mod http;
mod listeners;
mod reload;
mod run;

pub use bucket::{BucketConfig, OBJSTORE};
pub use component::{Component, Config, configured};
pub use deps::{Deps, Env, Random};
pub use error::Error;
pub use grpc::{GrpcConfig, GrpcServices, STORE_LIMITS, STORE_REQUESTS, StoreConfig, store_limits};
pub use http::{HttpConfig, PROMETHEUS_HTTP};
pub use listeners::Listeners;
pub use reload::{ReloadTrigger, Reloads};
pub use run::{http_router, run, run_configured, run_on, serve};
