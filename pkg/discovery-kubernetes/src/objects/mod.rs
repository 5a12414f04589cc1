//! Objects of a cluster, as small as targets need them: of a pod's many kilobytes a few hundred bytes are kept, so they are
//! read into structs of our own.

mod meta;
mod parts;
mod resource;

pub(crate) use meta::{Key, Meta, Pairs, key};
pub(crate) use parts::{
    Address, Container, Endpoint, EndpointPort, EndpointSlice, Endpoints, Ingress, Named, Node, Pod, Reference,
    Service, ServicePort,
};
pub(crate) use resource::{Change, Object, Page, Resource};
