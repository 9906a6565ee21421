//! The figures as text, in the format of `OpenMetrics`.
//! See <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::calls::Times;

/// Where figures are written.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

/// A figure that only grows, and is written with `_total` behind its name.
pub(super) struct Counter<'a>(MetricEncoder<'a>);

/// A figure that goes up and down.
pub(super) struct Gauge<'a>(MetricEncoder<'a>);

/// Times, by how long they are.
pub(super) struct Histogram<'a>(MetricEncoder<'a>);

/// Labels of a sample, each with its value.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page<'_> {
    /// Begins a figure that only grows; `unit` is written behind `name`.
    pub(super) fn counter<'s>(
        &'s mut self,
        name: &'s str,
        unit: Option<&'s Unit>,
        help: &str,
    ) -> Result<Counter<'s>, fmt::Error> {
        let kind = MetricType::Counter;
        let encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        Ok(Counter(encoder))
    }

    /// Begins a figure that goes up and down; `unit` is written behind `name`.
    pub(super) fn gauge<'s>(
        &'s mut self,
        name: &'s str,
        unit: Option<&'s Unit>,
        help: &str,
    ) -> Result<Gauge<'s>, fmt::Error> {
        let kind = MetricType::Gauge;
        let encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        Ok(Gauge(encoder))
    }

    /// Begins a figure of times; `unit` is written behind `name`.
    pub(super) fn histogram<'s>(
        &'s mut self,
        name: &'s str,
        unit: Option<&'s Unit>,
        help: &str,
    ) -> Result<Histogram<'s>, fmt::Error> {
        let kind = MetricType::Histogram;
        let encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        Ok(Histogram(encoder))
    }
}

impl Histogram<'_> {
    pub(super) fn put(&mut self, labels: Labels<'_>, times: &Times) -> fmt::Result {
        let buckets = times.buckets();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut sample = self.0.encode_family(&labels)?;
        sample.encode_histogram::<NoLabelSet>(times.seconds(), count, &buckets, None)
    }
}

impl Counter<'_> {
    pub(super) fn put(&mut self, labels: Labels<'_>, count: u64) -> fmt::Result {
        let mut sample = self.0.encode_family(&labels)?;
        sample.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }
}

impl Gauge<'_> {
    pub(super) fn put(&mut self, labels: Labels<'_>, value: &impl EncodeGaugeValue) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_gauge(value);
        }
        self.0.encode_family(&labels)?.encode_gauge(value)
    }
}
