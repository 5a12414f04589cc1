//! What each tenant may take.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use promql::QueryLimits;

/// Limits of one tenant; 0 switches a limit off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// Its queries evaluated at one time (`--query.tenant-max-concurrent`).
    pub running_max: usize,
    /// Its queries that wait (`--query.tenant-max-queued`).
    pub waiting_max: usize,
    /// Bytes that its queries hold together (`--query.tenant-max-bytes`).
    pub bytes_max: u64,
    /// Of each of its queries, in place of the engine's.
    pub query: QueryLimits,
}

/// The limits of all tenants, by name. They may change at any time; what runs goes on with those that it began with.
#[derive(Debug, Default)]
pub struct Tenants(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    others: TenantLimits,
    named: HashMap<Arc<str>, TenantLimits>,
}

impl Tenants {
    /// `others` for each tenant that has no limits of its own.
    pub fn new(others: TenantLimits) -> Self {
        Self(RwLock::new(Table { others, named: HashMap::new() }))
    }

    /// Puts other limits in force.
    pub fn replace(&self, others: TenantLimits, named: HashMap<Arc<str>, TenantLimits>) {
        *self.0.write() = Table { others, named };
    }

    /// The limits of a tenant.
    pub fn of(&self, tenant: &str) -> TenantLimits {
        let table = self.0.read();
        table.named.get(tenant).copied().unwrap_or(table.others)
    }
}
