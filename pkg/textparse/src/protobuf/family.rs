//! One `MetricFamily` message: what it says of all its metrics, and where they are.

use model::MetricType;

use super::wire::{Message, Value};
use crate::error::ParseError;

type Result<T> = std::result::Result<T, ParseError>;

#[derive(Debug)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'a str,
    pub(super) unit: &'a str,
    pub(super) metric_type: MetricType,
    type_number: u64,
    pub(super) has_metrics: bool,
    /// Fields that were not read for metrics yet.
    rest: Message<'a>,
}

impl Default for Family<'_> {
    fn default() -> Self {
        Self {
            name: "",
            help: "",
            unit: "",
            metric_type: MetricType::Unknown,
            type_number: 0,
            has_metrics: false,
            rest: Message::default(),
        }
    }
}

impl<'a> Family<'a> {
    /// Reads everything but the metrics, which may stand before the rest.
    pub(super) fn read(message: Message<'a>) -> Result<Self> {
        let mut family = Self { rest: message, ..Self::default() };
        let mut fields = message;
        while let Some(field) = fields.field()? {
            match field {
                (1, Value::Message(name)) => family.name = name.text()?,
                (2, Value::Message(help)) => family.help = help.text()?,
                (3, Value::Varint(number)) => family.type_number = number,
                (4, Value::Message(_)) => family.has_metrics = true,
                (5, Value::Message(unit)) => family.unit = unit.text()?,
                _ => {}
            }
        }
        family.metric_type = match family.type_number {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            _ => MetricType::Unknown,
        };
        Ok(family)
    }

    /// Refuses what Prometheus refuses: no name, an unknown type. Only OpenMetrics text has rules for the unit.
    pub(super) fn check(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(self.wrong("invalid metric name: it is empty".to_owned()));
        }
        if self.type_number > 5 {
            return Err(self.wrong(format!("unknown metric type for metric {:?}: {}", self.name, self.type_number)));
        }
        Ok(())
    }

    /// The next of its metrics.
    pub(super) fn next_metric(&mut self) -> Result<Option<Message<'a>>> {
        while let Some(field) = self.rest.field()? {
            if let (4, Value::Message(metric)) = field {
                return Ok(Some(metric));
            }
        }
        Ok(None)
    }

    #[cold]
    pub(super) fn wrong(&self, what: String) -> ParseError {
        self.rest.wrong(what)
    }
}
