//! Delimited protobuf: what is taken, as what, and what is refused.

mod common;

use common::dump;
use textparse::{Format, Options};

/// Fields of a message.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(mut self, field: u64, value: u64) -> Self {
        self.put(field << 3);
        self.put(value);
        self
    }
    fn signed(self, field: u64, value: i64) -> Self {
        self.varint(field, (value << 1 ^ value >> 63) as u64)
    }
    fn double(mut self, field: u64, value: f64) -> Self {
        self.put(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }
    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.put(field << 3 | 2);
        self.put(value.len() as u64);
        self.0.extend(value);
        self
    }
    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }
    fn message(self, field: u64, value: Message) -> Self {
        self.bytes(field, &value.0)
    }
    fn put(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    /// Behind its length, as in a body.
    fn delimited(self) -> Vec<u8> {
        let mut out = Message::default();
        out.put(self.0.len() as u64);
        out.0.extend(self.0);
        out.0
    }
}

fn message() -> Message {
    Message::default()
}

fn label(name: &str, value: &str) -> Message {
    message().text(1, name).text(2, value)
}

fn family(name: &str, metric_type: u64) -> Message {
    message().text(1, name).varint(3, metric_type)
}

fn exemplar(id: &str, value: f64, seconds: Option<u64>) -> Message {
    let exemplar = message().message(1, label("id", id)).double(2, value);
    match seconds {
        Some(s) => exemplar.message(3, message().varint(1, s).varint(2, 5_000_000)),
        None => exemplar,
    }
}

fn bucket(count: u64, bound: f64) -> Message {
    message().varint(1, count).double(2, bound)
}

fn native(histogram: Message) -> Message {
    histogram
        .signed(5, 3)
        .double(6, 0.5)
        .varint(7, 2)
        .message(9, message().signed(1, -2).varint(2, 1))
        .bytes(10, &[2])
        .message(12, message().signed(1, 1).varint(2, 3))
        .signed(13, 1)
        .signed(13, -1)
        .signed(13, 2)
}

fn histogram_family(histogram: Message) -> Vec<u8> {
    let metric = message().message(1, label("a", "b")).message(7, histogram);
    family("h", 4).message(4, metric).delimited()
}

fn protobuf(body: &[u8], options: Options) -> Vec<String> {
    dump(body, Format::Protobuf, options)
}

const WITH_ALL: Options = Options {
    exemplars: true,
    start_timestamps: true,
    ignore_native_histograms: false,
    convert_classic_histograms: false,
    keep_classic_histograms: false,
};

#[test]
fn plain_metrics() {
    let created = message().varint(1, 7);
    let counter = message().double(1, 3.5).message(2, exemplar("x", 1.0, Some(9))).message(3, created.clone());
    let body = [
        family("a_total", 0).text(2, "Help.").message(4, message().message(3, counter)).delimited(),
        // Metrics before the name; two of them; unknown fields.
        message()
            .message(4, message().message(1, label("x", "1")).message(2, message().double(1, 1.0)).varint(6, 1500))
            .varint(99, 1)
            .message(4, message().message(1, label("x", "2")).message(2, message().double(1, f64::NAN)))
            .text(1, "g_seconds")
            .varint(3, 1)
            .text(5, "seconds")
            .delimited(),
        family("empty", 1).delimited(),
        family("u", 3).message(4, message().message(5, message().double(1, -1.0))).delimited(),
        family("s", 2)
            .message(
                4,
                message().message(
                    4,
                    message()
                        .varint(1, 4)
                        .double(2, 2.5)
                        .message(3, message().double(1, 0.5).double(2, 1.25))
                        .message(3, message().double(1, 1.0).double(2, f64::NAN))
                        .message(4, created),
                ),
            )
            .delimited(),
        family("s", 2).message(4, message().message(4, message())).delimited(),
    ]
    .concat();
    assert_eq!(
        protobuf(&body, WITH_ALL),
        [
            "help a_total \"Help.\"",
            "type a_total counter",
            "a_total{} 3.5 st@7000 # {id=\"x\"} 1 @9005",
            "help g_seconds \"\"",
            "unit g_seconds \"seconds\"",
            "type g_seconds gauge",
            "g_seconds{x=\"1\"} 1 @1500",
            "g_seconds{x=\"2\"} NaN 7ff8000000000001",
            "help u \"\"",
            "type u unknown",
            "u{} -1",
            "help s \"\"",
            "type s summary",
            "s_count{} 4 st@7000",
            "s_sum{} 2.5 st@7000",
            "s{quantile=\"0.5\"} 1.25 st@7000",
            "s{quantile=\"1.0\"} NaN 7ff8000000000001 st@7000",
            "help s \"\"",
            "type s summary",
            "s_count{} 0",
            "s_sum{} 0",
        ]
    );
    let plain = protobuf(&body, Options::default());
    assert_eq!(plain[2], "a_total{} 3.5");
}

#[test]
fn classic_histograms() {
    let classic = message()
        .varint(1, 9)
        .double(2, 3.0)
        .message(3, bucket(2, 1.0).message(3, exemplar("x", 0.5, None)))
        .message(3, message().double(4, 4.5).double(2, 2e6));
    let want = [
        "help h \"\"",
        "type h histogram",
        "h_count{a=\"b\"} 9",
        "h_sum{a=\"b\"} 3",
        "h_bucket{a=\"b\",le=\"1.0\"} 2 # {id=\"x\"} 0.5",
        "h_bucket{a=\"b\",le=\"2e+06\"} 4.5",
        "h_bucket{a=\"b\",le=\"+Inf\"} 9",
    ];
    assert_eq!(protobuf(&histogram_family(classic.clone()), WITH_ALL), want);
    // With its own last bucket there is none beside it; what stands behind it is none.
    let infinite = classic.message(3, bucket(9, f64::INFINITY)).message(3, bucket(9, 7.0));
    assert_eq!(protobuf(&histogram_family(infinite), WITH_ALL), want);
}

#[test]
fn native_histograms() {
    let classic =
        message().varint(1, 9).double(2, 3.0).message(3, bucket(9, 1.0).message(3, exemplar("x", 0.5, Some(1))));
    let both = native(classic.clone());
    let shown = "h{a=\"b\"} Unknown schema=3 count=9 sum=3 zero=2/0.5 +[(1, 1), (1, 1)][1, 1] -[(-2, 1)][1] []";
    let got = protobuf(&histogram_family(both.clone()), WITH_ALL);
    assert_eq!(got[2..], [format!("{shown} # {{id=\"x\"}} 0.5 @1005")]);
    // Its own exemplars come before those of buckets; those without a time are left out.
    let own = both.clone().message(16, exemplar("y", 1.0, None)).message(16, exemplar("z", 2.0, Some(3)));
    assert_eq!(protobuf(&histogram_family(own), WITH_ALL)[2..], [format!("{shown} # {{id=\"z\"}} 2 @3005")]);
    let kept = Options { keep_classic_histograms: true, ..Options::default() };
    let series =
        ["h_count{a=\"b\"} 9", "h_sum{a=\"b\"} 3", "h_bucket{a=\"b\",le=\"1.0\"} 9", "h_bucket{a=\"b\",le=\"+Inf\"} 9"];
    let got = protobuf(&histogram_family(both.clone()), kept);
    assert_eq!((&got[2], &got[3..]), (&shown.to_owned(), &series.map(str::to_owned)[..]));
    let ignored = Options { ignore_native_histograms: true, ..Options::default() };
    assert_eq!(protobuf(&histogram_family(both.clone()), ignored)[2..], series);
    // Converted only where there is no native part.
    let convert = Options { convert_classic_histograms: true, ..Options::default() };
    assert_eq!(protobuf(&histogram_family(both.clone()), convert)[2..], [shown]);
    let nhcb = "h{a=\"b\"} Unknown schema=-53 count=9 sum=3 zero=0/0 +[(0, 1)][9] -[][] [1.0]";
    assert_eq!(protobuf(&histogram_family(classic), convert)[2..], [nhcb]);
    assert_eq!(
        protobuf(&histogram_family(both.clone()), Options { convert_classic_histograms: true, ..ignored })[2..],
        [nhcb]
    );
    let got = protobuf(&histogram_family(both), Options { convert_classic_histograms: true, ..kept });
    assert_eq!((&got[2], &got[3..]), (&shown.to_owned(), &series.map(str::to_owned)[..]));
}

#[test]
fn float_and_gauge_histograms() {
    let float = message()
        .double(4, 2.5)
        .double(2, 1.0)
        .double(6, 0.1)
        .message(12, message().signed(1, -1).varint(2, 2))
        .bytes(14, &[0.5f64.to_le_bytes(), 2.0f64.to_le_bytes()].concat());
    let got = protobuf(&histogram_family(float.clone()), WITH_ALL);
    assert_eq!(got[2], "h{a=\"b\"} float Unknown schema=0 count=2.5 sum=1 zero=0/0.1 +[(-1, 2)][0.5, 2.0] -[][] []");
    let gauge = family("g", 5).message(4, message().message(7, float)).delimited();
    let got = protobuf(&gauge, WITH_ALL);
    assert_eq!(
        got[1..],
        ["type g gaugehistogram", "g{} float Gauge schema=0 count=2.5 sum=1 zero=0/0.1 +[(-1, 2)][0.5, 2.0] -[][] []",]
    );
    // A span without buckets says that there is a native part, and nothing was observed.
    let empty = message().message(12, message());
    let got = protobuf(&histogram_family(empty), WITH_ALL);
    assert_eq!(got[2], "h{a=\"b\"} Unknown schema=0 count=0 sum=0 zero=0/0 +[][] -[][] []");
    // So do observations of zero.
    let got = protobuf(&histogram_family(message().varint(1, 2).varint(7, 2)), WITH_ALL);
    assert_eq!(got[2], "h{a=\"b\"} Unknown schema=0 count=2 sum=0 zero=2/0 +[][] -[][] []");
}

/// Both kinds are converted, and what is a gauge stays one.
#[test]
fn converted_gauge_histograms() {
    let of = |buckets: &[Message]| buckets.iter().fold(message().varint(1, 3), |h, b| h.message(3, b.clone()));
    let with = |exemplar: Message| bucket(1, 1.0).message(3, exemplar);
    let body = [
        family("g", 5).message(4, message().message(7, of(&[with(exemplar("x", 1.0, Some(9))), bucket(2, 2.0)]))),
        family("h", 4).message(4, message().message(7, of(&[with(exemplar("y", 1.0, None))]))),
    ];
    let body = body.map(Message::delimited).concat();
    let got = protobuf(&body, Options { convert_classic_histograms: true, ..WITH_ALL });
    assert_eq!(
        got,
        [
            "help g \"\"",
            "type g gaugehistogram",
            "g{} Gauge schema=-53 count=3 sum=0 zero=0/0 +[(0, 3)][1, 0, 0] -[][] [1.0, 2.0] # {id=\"x\"} 1 @9005",
            "help h \"\"",
            "type h histogram",
            "h{} Unknown schema=-53 count=3 sum=0 zero=0/0 +[(0, 2)][1, 1] -[][] [1.0]",
        ]
    );
}

/// In OpenMetrics text that is an error.
#[test]
fn a_unit_need_not_be_in_the_name() {
    for name in ["a", "a_bytes_total"] {
        let metric = message().message(2, message().double(1, 1.0));
        let got = protobuf(&family(name, 1).text(5, "bytes").message(4, metric).delimited(), WITH_ALL);
        assert_eq!(got[1..], [format!("unit {name} \"bytes\""), format!("type {name} gauge"), format!("{name}{{}} 1")]);
    }
}

#[test]
fn refused() {
    let metric = || message().message(2, message().double(1, 1.0));
    let too_few = native(message()).message(12, message().varint(2, u64::from(u32::MAX)));
    for (body, want) in [
        (message().message(4, metric()).delimited(), "invalid metric name"),
        (family("a", 6).message(4, metric()).delimited(), "unknown metric type for metric \"a\": 6"),
        (message().bytes(1, b"\xff").message(4, metric()).delimited(), "not valid UTF-8"),
        (histogram_family(too_few), "native histogram \"h\": positive spans do not cover"),
        (vec![0x05, 0x0a], "cut short: 5 bytes wanted, 1 left"),
        (vec![0x80], "a varint is cut short"),
        (vec![0xff; 11], "longer than 64 bits"),
        (vec![0x01, 0x0b], "wire type 3 is not known"),
        (vec![0x02, 0x00, 0x00], "field number 0"),
        (family("a", 1).bytes(4, &[0x12, 0x7f]).delimited(), "cut short"),
    ] {
        let got = protobuf(&body, WITH_ALL);
        assert!(got.last().is_some_and(|l| l.starts_with("error: byte ") && l.contains(want)), "{want}: {got:?}");
    }
    let counted = family("a_bytes_total", 0).text(5, "bytes").message(4, message().message(3, message())).delimited();
    assert_eq!(protobuf(&counted, WITH_ALL).last().unwrap(), "a_bytes_total{} 0");
}

/// Keys tell series apart whatever their labels and names are.
#[test]
fn keys() {
    let gauge = |name: &str, labels: &[(&str, &str)]| {
        let metric = labels.iter().fold(message(), |m, (n, v)| m.message(1, label(n, v)));
        family(name, 1).message(4, metric.message(2, message().double(1, 1.0))).delimited()
    };
    let body = [
        gauge("a", &[("a", "bc")]),
        gauge("a", &[("ab", "c")]),
        gauge("1.0", &[("a", "le")]),
        family("a", 4).message(4, message().message(7, message().message(3, bucket(1, 1.0)))).delimited(),
    ]
    .concat();
    let mut parser = textparse::Parser::new(&body, Format::Protobuf, Options::default()).unwrap();
    let mut keys = std::collections::BTreeSet::new();
    let mut series = 0;
    while let Some(entry) = parser.next().unwrap() {
        if let textparse::Entry::Sample(sample) = entry {
            series += 1;
            keys.insert(sample.series.key().to_vec());
        }
    }
    assert_eq!((series, keys.len()), (7, 7));
}

/// Families that lack what they should have are read as far as they go, and cost no other family.
#[test]
fn empty_messages() {
    let empty = |kind: u64, field: u64| family("e", kind).message(4, message().message(field, message())).delimited();
    assert_eq!(protobuf(&empty(2, 4), WITH_ALL)[1..], ["type e summary", "e_count{} 0", "e_sum{} 0"]);
    let classic = protobuf(&empty(4, 7), WITH_ALL);
    assert_eq!(classic[2..], ["e_count{} 0", "e_sum{} 0", "e_bucket{le=\"+Inf\"} 0"]);
    // A metric of another kind than its family says.
    let mismatch = family("e", 2).message(4, message().message(2, message().double(1, 1.0))).delimited();
    let mut both = mismatch;
    both.extend(family("a", 1).message(4, message().message(2, message().double(1, 7.0))).delimited());
    assert!(protobuf(&both, WITH_ALL).contains(&"a{} 7".to_owned()));
}

/// Every metric of a family comes, whether it has a native part or not, and whatever stands before it.
#[test]
fn native_and_classic_histograms_of_one_family() {
    let classic = |id: &str| {
        let histogram = message().varint(1, 9).double(2, 3.0).message(3, bucket(9, 1.0));
        message().message(1, label("id", id)).message(7, histogram)
    };
    let exponential = |id: &str| message().message(1, label("id", id)).message(7, native(message().varint(1, 9)));
    let body = family("h", 4)
        .message(4, exponential("1"))
        .message(4, classic("2"))
        .message(4, exponential("3"))
        .message(4, classic("4"))
        .delimited();
    let convert = Options { convert_classic_histograms: true, ..Options::default() };
    let got = protobuf(&body, convert);
    let kinds: Vec<(&str, bool)> = got[2..].iter().map(|line| (&line[..9], line.contains("schema=-53"))).collect();
    assert_eq!(kinds, [("h{id=\"1\"}", false), ("h{id=\"2\"}", true), ("h{id=\"3\"}", false), ("h{id=\"4\"}", true)]);
    let got = protobuf(&body, WITH_ALL);
    for id in ["1", "2", "3", "4"] {
        assert!(got.iter().any(|line| line.contains(&format!("id=\"{id}\""))), "{id}: {got:?}");
    }
}
