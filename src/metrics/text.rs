//! The figures as text, in the format of `OpenMetrics`.
//! See <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::{
    calls::Times,
    label::{Counts, Label},
};

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

    /// Writes what never changes while the process runs; `_info` is written behind `name`.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: Labels<'_>) -> fmt::Result {
        let kind = MetricType::Info;
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        encoder.encode_info(&labels)
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
        let (seconds, count) = (
            times.seconds(),
            buckets.iter().map(|(_, count)| count).sum(),
        );
        write(&mut self.0, labels, |sample| {
            sample.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
        })
    }
}

impl Counter<'_> {
    pub(super) fn put(&mut self, labels: Labels<'_>, count: u64) -> fmt::Result {
        write(&mut self.0, labels, |sample| {
            sample.encode_counter::<NoLabelSet, _, u64>(&count, None)
        })
    }

    /// Puts a time in seconds that was counted in milliseconds.
    pub(super) fn put_seconds(&mut self, labels: Labels<'_>, millis: u64) -> fmt::Result {
        let seconds = Duration::from_millis(millis).as_secs_f64();
        write(&mut self.0, labels, |sample| {
            sample.encode_counter::<NoLabelSet, _, f64>(&seconds, None)
        })
    }

    /// Puts every value of a label.
    pub(super) fn put_all<L: Label>(&mut self, counts: &Counts<L>) -> fmt::Result {
        for (label, count) in counts.all() {
            self.put(&[(L::KEY, &label.name())], count)?;
        }
        Ok(())
    }
}

impl Gauge<'_> {
    pub(super) fn put(&mut self, labels: Labels<'_>, value: &impl EncodeGaugeValue) -> fmt::Result {
        write(&mut self.0, labels, |sample| sample.encode_gauge(value))
    }
}

/// Writes a sample under its labels; without any it has no brackets either.
fn write(
    encoder: &mut MetricEncoder<'_>,
    labels: Labels<'_>,
    sample: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() {
        return sample(encoder);
    }
    sample(&mut encoder.encode_family(&labels)?)
}
