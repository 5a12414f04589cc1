//! Every endpoint: what is asked, what comes back.

mod common;

use api::ApiOptions;
use axum::body::Body;
use common::{Api, NOW_MS};
use http::{Request, StatusCode};
use storage::PartialResponse;

/// `text` without the lines' own indentation, so that expected JSON can be broken over lines.
fn joined(lines: &[&str]) -> String {
    lines.concat()
}

#[tokio::test]
async fn instant_queries() {
    let api = Api::new();
    for (path, expected) in [
        ("query?query=1%2B1&time=4", r#"{"resultType":"scalar","result":[4,"2"]}"#.to_owned()),
        ("query?query=1e22", r#"{"resultType":"scalar","result":[1435781430,"10000000000000000000000"]}"#.into()),
        (
            "query?query=vector(1e22)",
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1435781430,"1e+22"]}]}"#.into(),
        ),
        ("query?query=-1/0&time=1.5", r#"{"resultType":"scalar","result":[1.500,"-Inf"]}"#.into()),
        (r#"query?query=%22a%5C%22%22&time=0"#, r#"{"resultType":"string","result":[0,"a\""]}"#.into()),
        ("query?query=absent_metric", r#"{"resultType":"vector","result":[]}"#.into()),
        (
            "query?query=up",
            joined(&[
                r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a","tenant_id":"x"},"#,
                r#""value":[1435781430,"1"]},{"metric":{"__name__":"up","job":"b","tenant_id":"y"},"#,
                r#""value":[1435781430,"0.5"]}]}"#,
            ]),
        ),
        (
            "query?query=requests_total[30s]&time=2015-07-01T20:10:30Z",
            joined(&[
                r#"{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","job":"a","#,
                r#""service.name":"s\"1"},"values":[[1435781415,"57"],[1435781430,"60"]]}]}"#,
            ]),
        ),
    ] {
        let got = api.get(path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.text());
        assert_eq!(got.text(), format!(r#"{{"status":"success","data":{expected}}}"#), "{path}");
        assert_eq!(got.headers["content-type"], "application/json");
        assert!(!got.headers.contains_key("cache-control"));
    }
}

#[tokio::test]
async fn range_queries() {
    let api = Api::new();
    let expected = joined(&[
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"a"},"#,
        r#""values":[[1435781400,"1"],[1435781415.500,"1"]]},{"metric":{"job":"b"},"#,
        r#""values":[[1435781400,"0.5"],[1435781415.500,"0.5"]]}]}}"#,
    ]);
    let params = "query=sum+by(job)(up)&start=1435781400&end=1435781430&step=15.5";
    assert_eq!(api.get(&format!("query_range?{params}")).await.text(), expected);
    assert_eq!(api.post("query_range", params).await.text(), expected);
    // What the form says comes before what the URL says.
    assert_eq!(api.post("query_range?query=down&start=7", params).await.text(), expected);

    // Without step: 250 of them, or the default step.
    for (length, steps) in [(100, 101), (2500, 251)] {
        let got = api.get(&format!("query_range?query=1&start=0&end={length}")).await;
        assert_eq!(got.json()["data"]["result"][0]["values"].as_array().unwrap().len(), steps);
    }
}

#[tokio::test]
async fn errors() {
    let api = Api::new();
    let range = "start=1435781400&end=1435781430&step=15";
    for (path, status, kind, text) in [
        (
            "query?query=sum(".to_owned(),
            400,
            "bad_data",
            "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis",
        ),
        (
            "query".into(),
            400,
            "bad_data",
            "invalid parameter \"query\": unknown position: parse error: no expression found in input",
        ),
        (
            "query?query=1&time=x".into(),
            400,
            "bad_data",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
        ),
        (
            "query?query=1&timeout=x".into(),
            400,
            "bad_data",
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        (
            "query?query=1&limit=x".into(),
            400,
            "bad_data",
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        ("query?query=1&limit=-1".into(), 400, "bad_data", "invalid parameter \"limit\": limit must be non-negative"),
        (
            "query?query=1&engine=x".into(),
            400,
            "bad_data",
            "invalid parameter \"engine\": \"x\" is none of prometheus, thanos",
        ),
        (
            "query?query=1&dedup=x".into(),
            400,
            "bad_data",
            "invalid parameter \"dedup\": strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        (
            "query_range?query=1".into(),
            400,
            "bad_data",
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
        ),
        (
            "query_range?query=1&start=2&end=1".into(),
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "query_range?query=1&start=1&end=2&step=0".into(),
            400,
            "bad_data",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            "query_range?query=1&start=0&end=11001&step=1".into(),
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            format!("query_range?query=up[5m]&{range}"),
            400,
            "bad_data",
            "invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        ("series".into(), 400, "bad_data", "no match[] parameter provided"),
        (
            "series?match[]={job=~\".*\"}".replace('"', "%22").replace('{', "%7B").replace('}', "%7D"),
            400,
            "bad_data",
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
        ),
        (
            "labels?start=2&end=1".into(),
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        ("rules?type=x".into(), 400, "bad_data", "invalid parameter \"type\": not supported value \"x\""),
        ("metadata?limit=x".into(), 400, "bad_data", "limit must be a number"),
        ("status/tsdb?limit=0".into(), 400, "bad_data", "limit must be a positive number"),
        ("nothing".into(), 404, "not_found", "no API at /api/v1/nothing"),
        ("query?query=1&timeout=0".into(), 503, "timeout", "query timed out in query execution"),
    ] {
        let got = api.get(&path).await;
        let json = got.json();
        assert_eq!((got.status.as_u16(), json["errorType"].as_str().unwrap()), (status, kind), "{path}: {json}");
        assert_eq!(json["error"].as_str().unwrap(), text, "{path}");
        assert_eq!(json["status"], "error");
        assert_eq!(got.headers["cache-control"], "no-store");
    }
    let request = Request::delete("/api/v1/query").body(Body::empty()).unwrap();
    let got = api.send(request).await;
    assert_eq!(
        (got.status, got.json()["error"].as_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "/api/v1/query does not take DELETE")
    );
    let got = api.get("query?query=up+%2B+on()+up").await;
    assert_eq!((got.status.as_u16(), got.json()["errorType"].as_str().unwrap()), (422, "execution"));
}

#[tokio::test]
async fn labels_and_series() {
    let api = Api::new();
    for (path, expected) in [
        ("labels", r#"["__name__","job","service.name","tenant_id"]"#),
        ("labels?match[]=up", r#"["__name__","job","tenant_id"]"#),
        ("labels?match[]=up&match[]=requests_total", r#"["__name__","job","service.name","tenant_id"]"#),
        ("labels?end=1", "[]"),
        ("labels?limit=2", r#"["__name__","job"],"warnings":["results truncated due to limit"]"#),
        ("label/job/values", r#"["a","b"]"#),
        ("label/job/values?match[]=requests_total", r#"["a"]"#),
        ("label/U__service_2e_name/values", r#"["s\"1"]"#),
        ("label/service.name/values", r#"["s\"1"]"#),
        ("label/nothing/values", "[]"),
        ("label/job/values?limit=1", r#"["a"],"warnings":["results truncated due to limit"]"#),
        ("label/job/values?limit=2", r#"["a","b"]"#),
        (
            "series?match[]=up",
            r#"[{"__name__":"up","job":"a","tenant_id":"x"},{"__name__":"up","job":"b","tenant_id":"y"}]"#,
        ),
        (
            "series?match[]=up&match[]=%7Bjob=%22a%22%7D&limit=2",
            concat!(
                r#"[{"__name__":"requests_total","job":"a","service.name":"s\"1"},"#,
                r#"{"__name__":"up","job":"a","tenant_id":"x"}],"warnings":["results truncated due to limit"]"#
            ),
        ),
        ("series?match[]=nothing", "[]"),
    ] {
        let got = api.get(path).await;
        assert_eq!(got.text(), format!(r#"{{"status":"success","data":{expected}}}"#), "{path}");
    }
    let got = api.post("series", "match[]=up&limit=1").await;
    assert_eq!(got.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(got.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn limits_and_stats() {
    let api = Api::new();
    let got = api.get("query?query=up&limit=1").await.json();
    assert_eq!(got["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(got["warnings"][0], "results truncated due to limit");
    let got = api.get("query_range?query=up&limit=2&start=1435781400&end=1435781430&step=15&stats=all").await.json();
    assert_eq!(got.get("warnings"), None);
    let samples = &got["data"]["stats"]["samples"];
    assert_eq!(samples["totalQueryableSamples"], 6, "{got}");
    assert_eq!(samples["totalQueryableSamplesPerStep"][0], serde_json::json!([1_435_781_400, 2]));
    assert!(got["data"]["stats"]["timings"]["execTotalTime"].is_f64());
    assert_eq!(got["data"]["stats"]["storage"]["series"], 2);
    let got = api.get("query?query=up&stats=yes&analyze=1").await.json();
    assert!(got["warnings"][0].as_str().unwrap().contains("\"stats\" is deprecated"), "{got}");
    assert_eq!(got["data"]["analysis"]["children"][0]["name"], "[vectorSelector] up");
    let operator = &got["data"]["analysis"]["children"][0];
    assert_eq!((&operator["series"], &operator["samples"], &operator["seriesRead"]), (&2.into(), &2.into(), &2.into()));
    assert!(operator["executionTime"].as_str().unwrap().ends_with('s'), "{got}");
    let got = api.get("query_explain?query=sum(up)*(1%2B1)").await.json();
    assert_eq!(got["data"]["name"], "[binary] * (vector before scalar)");
    assert_eq!(got["data"]["children"][0]["children"][0]["name"], "[vectorSelector] up");
    assert_eq!(got["data"]["passes"][0]["name"], "fold-constants");
    assert_eq!(got["data"]["passes"][0]["changes"], serde_json::json!(["calculated 2"]));
    let got = api.get("query_range_explain?query=up@10&start=0&end=60&step=15").await.json();
    assert_eq!(got["data"]["name"], "[stepInvariant]", "{got}");
}

#[tokio::test]
async fn query_text() {
    let api = Api::new();
    let got = api.post("format_query", "query=sum+by+(job)(rate(a[5m]))").await;
    assert_eq!(got.text(), r#"{"status":"success","data":"sum by (job) (rate(a[5m]))"}"#);
    let got = api.get("parse_query?query=1").await;
    assert_eq!(got.text(), r#"{"status":"success","data":{"type":"numberLiteral","val":"1"}}"#);
    assert_eq!(api.get("parse_query?query=a+b").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn rules_and_alerts() {
    let api = Api::new();
    let alert = concat!(
        r#"{"labels":{"alertname":"Down"},"annotations":{},"state":"firing","activeAt":"2015-07-01T20:10:30Z","#,
        r#""keepFiringSince":"2015-07-01T20:10:35Z","value":"1e+00","partialResponseStrategy":"WARN"}"#
    );
    let got = api.get("alerts").await;
    assert_eq!(got.text(), format!(r#"{{"status":"success","data":{{"alerts":[{alert}]}}}}"#));
    let got = api.get("rules?rule_group[]=g1&type=alert").await;
    let rule = joined(&[
        r#"{"state":"firing","name":"Down","query":"up == 0","duration":60,"keepFiringFor":0,"#,
        r#""labels":{"severity":"Down"},"annotations":{"summary":"{{ $labels.job }}"},"alerts":["#,
        alert,
        r#"],"health":"ok","evaluationTime":0.25,"lastEvaluation":"2015-07-01T20:10:30Z","type":"alerting"}"#,
    ]);
    let group = joined(&[
        r#"{"name":"g1","file":"/rules.yaml","rules":["#,
        &rule,
        r#"],"interval":30,"limit":0,"evaluationTime":0.5,"lastEvaluation":"0001-01-01T00:00:00Z","#,
        r#""partialResponseStrategy":"ABORT"}"#,
    ]);
    assert_eq!(got.text(), format!(r#"{{"status":"success","data":{{"groups":[{group}]}}}}"#));

    for (params, names) in [
        ("", vec!["Down", "job:up", "other"]),
        ("type=record", vec!["job:up", "other"]),
        ("rule_name[]=other&rule_name[]=Down", vec!["Down", "other"]),
        ("rule_group[]=g2", vec!["other"]),
        ("file[]=/other.yaml", vec![]),
        ("match[]=%7Bseverity=%22other%22%7D", vec!["other"]),
        ("group_limit=1", vec!["Down", "job:up"]),
    ] {
        let got = api.get(&format!("rules?{params}")).await.json();
        let groups = got["data"]["groups"].as_array().unwrap();
        let found: Vec<_> = groups.iter().flat_map(|g| g["rules"].as_array().unwrap()).map(|r| &r["name"]).collect();
        assert_eq!(found, names, "{params}");
    }
    let first = api.get("rules?group_limit=1").await.json();
    let token = first["data"]["groupNextToken"].as_str().unwrap();
    let second = api.get(&format!("rules?group_limit=1&group_next_token={token}")).await.json();
    assert_eq!(second["data"]["groups"][0]["name"], "g2");
    assert_eq!(second["data"].get("groupNextToken"), None);
    assert_eq!(api.get("rules?group_next_token=x&group_limit=1").await.status, StatusCode::BAD_REQUEST);
    let got = api.get("rules?exclude_alerts=true").await.json();
    assert_eq!(got["data"]["groups"][0]["rules"][0]["alerts"], serde_json::json!([]));
}

#[tokio::test]
async fn targets() {
    let api = Api::new();
    let got = api.get("targets?scrapePool=a&state=active").await;
    assert_eq!(
        got.text(),
        concat!(
            r#"{"status":"success","data":{"activeTargets":[{"discoveredLabels":{"__address__":"h:1","#,
            r#""__scrape_interval__":"15s"},"labels":{"job":"a"},"scrapePool":"a","scrapeUrl":"http://h:1/metrics","#,
            r#""globalUrl":"http://g:1/metrics","lastError":"","lastScrape":"2015-07-01T20:10:30Z","#,
            r#""lastScrapeDuration":0.125,"health":"up","scrapeInterval":"15s","scrapeTimeout":""}],"#,
            r#""droppedTargets":[],"droppedTargetCounts":{}},"warnings":["c:10901: no answer"]}"#
        )
    );
    for (params, active, dropped) in
        [("", 2, 2), ("state=dropped", 0, 2), ("scrapePool=b", 1, 2), ("scrapePool=x", 0, 0)]
    {
        let got = api.get(&format!("targets?{params}")).await.json();
        let count = |key: &str| got["data"][key].as_array().unwrap().len();
        assert_eq!((count("activeTargets"), count("droppedTargets")), (active, dropped), "{params}");
        assert_eq!(got["data"]["droppedTargetCounts"]["b"], 2);
    }
    assert_eq!(api.get("scrape_pools").await.json()["data"]["scrapePools"], serde_json::json!(["a", "b"]));
    assert_eq!(api.get("targets?state=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn metadata_exemplars_statistics() {
    let api = Api::new();
    let a = r#""a":[{"type":"gauge","help":"A","unit":""}"#;
    for (params, expected) in [
        (
            "",
            format!(
                r#"{{{a},{{"type":"gauge","help":"A too","unit":""}}],"b":[{{"type":"gauge","help":"B","unit":""}}]}}"#
            ),
        ),
        ("limit=1&limit_per_metric=1", format!("{{{a}]}}")),
        ("metric=b", r#"{"b":[{"type":"gauge","help":"B","unit":""}]}"#.into()),
        ("limit=0", "{}".into()),
        ("limit=-1&metric=x", "{}".into()),
    ] {
        let got = api.get(&format!("metadata?{params}")).await;
        assert_eq!(got.text(), format!(r#"{{"status":"success","data":{expected}}}"#), "{params}");
    }
    assert_eq!(
        api.get("query_exemplars?query=rate(x[5m])&start=1&end=2").await.text(),
        concat!(
            r#"{"status":"success","data":[{"seriesLabels":{"__name__":"x","query":"rate(x[5m])"},"exemplars":"#,
            r#"[{"labels":{"trace_id":"7"},"value":"6","timestamp":1435781430.479}]}]}"#
        )
    );
    assert_eq!(api.post("query_exemplars", "query=1").await.text(), r#"{"status":"success","data":[]}"#);
    assert_eq!(api.get("query_exemplars?query=x(").await.json()["errorType"], "bad_data");
    assert_eq!(
        api.get("status/tsdb?limit=2").await.text(),
        concat!(
            r#"{"status":"success","data":{"headStats":{"numSeries":12,"numLabelPairs":4,"chunkCount":6,"minTime":5,"#,
            r#""maxTime":17},"seriesCountByMetricName":[{"name":"up","value":12},{"name":"only5","value":1}],"#,
            r#""labelValueCountByLabelName":[],"memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]}}"#
        )
    );
}

#[tokio::test]
async fn status() {
    let api = Api::new();
    assert_eq!(
        api.get("stores").await.text(),
        concat!(
            r#"{"status":"success","data":{"sidecar":[{"name":"a:10901","lastCheck":"2015-07-01T20:10:30Z","#,
            r#""lastError":null,"labelSets":[{"replica":"a"}],"minTime":0,"maxTime":9223372036854775807},"#,
            r#"{"name":"b:10901","lastCheck":"2015-07-01T20:10:30Z","lastError":"gone","#,
            r#""labelSets":[{"replica":"a"}],"minTime":0,"maxTime":9223372036854775807}],"#,
            r#""store":[{"name":"s:10901","lastCheck":"0001-01-01T00:00:00Z","lastError":null,"labelSets":[],"#,
            r#""minTime":0,"maxTime":0}]}}"#
        )
    );
    let got = api.get("status/flags").await;
    assert_eq!(got.text(), r#"{"status":"success","data":{"log.level":"info","query.timeout":"2m"}}"#);
    let build = api.get("status/buildinfo").await.json();
    assert_eq!((&build["data"]["version"], &build["data"]["aionVersion"]), (&"3.14.0".into(), &"0.1.0".into()));
    assert_eq!(build["data"].get("features"), None);
    assert_eq!(api.get("status/runtimeinfo").await.json()["data"]["serverTime"], "2015-07-01T20:10:30Z");
    let config = api.get("status/config").await;
    assert_eq!((config.status, &config.json()["errorType"]), (StatusCode::NOT_FOUND, &"not_found".into()));
    assert_eq!(api.get("alertmanagers").await.json()["data"]["activeAlertmanagers"], serde_json::json!([]));
}

#[tokio::test]
async fn source_options() {
    let api = Api::new();
    let got = api.get("query?query=up").await;
    assert_eq!(got.status, StatusCode::OK);
    let asked = api.asked();
    assert!(asked.dedup && !asked.auto_resolution && !asked.labels_only);
    assert_eq!((asked.replica_labels, asked.shard, asked.max_resolution_ms), (None, None, 0));
    assert_eq!(
        (asked.partial_response, asked.lookback_ms, &**api.source.tenant.lock().unwrap()),
        (PartialResponse::Warn, 300_000, "default-tenant")
    );

    let range = "query_range?query=up&start=0&end=36000&step=1h";
    let shard = "shard_info=%7B%22shard_index%22:1,%22total_shards%22:2,%22by%22:true,%22labels%22:[%22job%22]%7D";
    api.get(&format!(
        "{range}&dedup=0&replicaLabels[]=r1&replicaLabels[]=r2&partial_response=false&max_source_resolution=auto\
         &storeMatch[]=%7B__address__=%22a%22%7D&{shard}&engine=thanos"
    ))
    .await;
    let asked = api.asked();
    assert!(!asked.dedup && asked.auto_resolution);
    assert_eq!(asked.replica_labels.unwrap(), ["r1", "r2"]);
    assert_eq!(asked.partial_response, PartialResponse::Abort);
    assert_eq!((asked.max_resolution_ms, asked.lookback_ms), (720_000, 300_000));
    assert_eq!(asked.store_matchers[0][0].to_string(), "__address__=\"a\"");
    let shard = asked.shard.unwrap();
    assert_eq!((shard.index, shard.total, shard.by, shard.labels), (1, 2, true, vec!["job".to_owned()]));

    for (params, resolution_ms, lookback_ms) in [
        ("max_source_resolution=5m", 300_000, 300_000),
        ("max_source_resolution=1h", 3_600_000, 3_600_000),
        ("max_source_resolution=0s", 0, 300_000),
        ("max_source_resolution=1h&lookback_delta=90s", 3_600_000, 90_000),
        ("lookback_delta=0", 0, 300_000),
    ] {
        assert_eq!(api.get(&format!("{range}&{params}")).await.status, StatusCode::OK);
        let asked = api.asked();
        assert_eq!((asked.max_resolution_ms, asked.lookback_ms), (resolution_ms, lookback_ms), "{params}");
    }
    assert_eq!(api.get(&format!("{range}&max_source_resolution=-1")).await.status, StatusCode::BAD_REQUEST);

    let auto = Api::with(ApiOptions { auto_downsampling: true, dynamic_lookback: false, ..ApiOptions::default() });
    auto.get(range).await;
    assert_eq!((auto.asked().max_resolution_ms, auto.asked().lookback_ms), (720_000, 300_000));
    auto.get("query?query=up").await;
    assert_eq!(auto.asked().max_resolution_ms, 3_600_000);
    auto.get("labels").await;
    assert!(auto.asked().labels_only);
}

#[tokio::test]
async fn tenants_see_their_own() {
    let api = Api::with(ApiOptions { enforce_tenancy: true, ..ApiOptions::default() });
    let ask = async |tenant: &str, path: &str| {
        let request = Request::get(format!("/api/v1/{path}")).header("X-Scope-OrgID", tenant).body(Body::empty());
        api.send(request.unwrap()).await
    };
    for (tenant, path, expected) in [
        (
            "x",
            "query?query=sum(up)&time=1435781430",
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1435781430,"1"]}]}"#,
        ),
        (
            "y",
            "query?query=sum(up)&time=1435781430",
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1435781430,"0.5"]}]}"#,
        ),
        ("y", "query?query=up%7Btenant_id=%22x%22,job=%22a%22%7D", r#"{"resultType":"vector","result":[]}"#),
        ("x", "label/job/values", r#"["a"]"#),
        ("x", "labels", r#"["__name__","job","tenant_id"]"#),
        ("y", "series?match[]=up", r#"[{"__name__":"up","job":"b","tenant_id":"y"}]"#),
    ] {
        let got = ask(tenant, path).await;
        assert_eq!(got.text(), format!(r#"{{"status":"success","data":{expected}}}"#), "{tenant} {path}");
    }
    assert_eq!(ask("x", "status/tsdb").await.json()["data"]["headStats"]["numSeries"], 5);
    assert_eq!(ask("z", "status/tsdb").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask("../x", "labels").await.status, StatusCode::BAD_REQUEST);
    let exemplars = ask("x", "query_exemplars?query=up").await.json();
    assert_eq!(exemplars["data"][0]["seriesLabels"]["query"], "up{tenant_id=\"x\"}");
}

#[tokio::test]
async fn metadata_range_is_bounded_when_asked_to_be() {
    let options = ApiOptions { default_metadata_range_ms: 1000, ..ApiOptions::default() };
    let api = Api::with(options);
    assert_eq!(api.get("labels").await.json()["data"].as_array().unwrap().len(), 4);
    let hour = NOW_MS / 1000 - 3600;
    assert_eq!(api.get(&format!("labels?end={hour}&start=0")).await.json()["data"].as_array().unwrap().len(), 0);
}
