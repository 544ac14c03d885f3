//! Latencies of questions, each asked several times over HTTP without any result cache.

use std::ops::Range;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

/// Traces spread over the time in which spans were sent.
pub fn some_traces(api: &str, count: usize, sent: Range<u64>) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for part in 1..=count as u64 {
        let end = sent.start + (sent.end - sent.start) / count as u64 * part;
        let page = get(&format!("{api}/api/v1/traces?limit=1&end={end}"))?.1;
        ids.extend(page["traces"][0]["trace_id"].as_str().map(str::to_owned));
    }
    anyhow::ensure!(!ids.is_empty(), "no trace found");
    Ok(ids)
}

/// Asks and prints.
pub fn measure(api: &str, ids: &[String], runs: usize) -> anyhow::Result<()> {
    let mut times = Vec::new();
    let mut first = 0.0;
    // Each several times: what the first touch of a block costs shows in the first and slowest.
    for run in 0..runs.max(ids.len()) * 5 {
        let id = &ids[run % ids.len()];
        let (time, trace) = get(&format!("{api}/api/v1/traces/{id}"))?;
        anyhow::ensure!(trace["resourceSpans"].is_array(), "trace {id} is not there");
        if run == 0 {
            first = time;
        }
        times.push(time);
    }
    print("trace by id", &mut times, first, ids.len());

    let services = get(&format!("{api}/api/v1/services"))?.1;
    let service = services["services"][0]["name"].as_str().context("no service")?.to_owned();
    let operations = get(&format!("{api}/api/v1/operations?service={service}"))?.1;
    let operation =
        operations["operations"][0]["name"].as_str().context("no operation")?.to_owned();
    let rare = rare_value(api, ids)?;
    for (name, parameters) in [
        ("newest 20", Vec::new()),
        ("newest 20 of a service", vec![("service", service.clone())]),
        (
            "newest 20 of a service and operation",
            vec![("service", service.clone()), ("operation", operation)],
        ),
        (
            "newest 20 errors of a service",
            vec![("service", service), ("status", "error".to_owned())],
        ),
        ("a rare attribute value", vec![("attribute", rare)]),
        ("newest 20 with a span over 200 ms", vec![("min_duration", "200ms".to_owned())]),
    ] {
        let mut times = Vec::new();
        let (mut first, mut found) = (0.0, 0);
        for run in 0..runs {
            let mut request = ureq::get(format!("{api}/api/v1/traces")).query("limit", "20");
            for (key, value) in &parameters {
                request = request.query(key, value);
            }
            let started = Instant::now();
            let page: Value = request.call()?.body_mut().read_json()?;
            let time = started.elapsed().as_secs_f64() * 1e3;
            if run == 0 {
                first = time;
            }
            times.push(time);
            found = page["traces"].as_array().map_or(0, Vec::len);
        }
        print(name, &mut times, first, found);
    }
    Ok(())
}

/// Asks TraceQL queries and prints. `sent` is when the spans were sent.
pub fn measure_traceql(
    api: &str,
    ids: &[String],
    sent: Range<u64>,
    runs: usize,
) -> anyhow::Result<()> {
    let services = get(&format!("{api}/api/v1/services"))?.1;
    let service = services["services"][0]["name"].as_str().context("no service")?.to_owned();
    let (key, value) = rare_value(api, ids)?.split_once('=').map_or_else(
        || (String::new(), String::new()),
        |(key, value)| (key.to_owned(), value.to_owned()),
    );
    let step = format!("{}ms", ((sent.end - sent.start) / 60 / 1_000_000).max(1));
    let time = |nanos: u64| nanos.to_string();
    let range = [("start", time(sent.start)), ("end", time(sent.end)), ("step", step)];
    let find: &[(&str, String)] = &[("limit", "20".to_owned())];
    for (name, query, parameters) in [
        ("newest 20 of a service", format!("{{ resource.service.name = `{service}` }}"), find),
        (
            "a service's errors",
            format!("{{ resource.service.name = `{service}` && status = error }}"),
            find,
        ),
        ("a rare attribute value", format!("{{ {key} = `{value}` }}"), find),
        (
            "a pattern over a text of many values",
            format!("{{ {key} =~ `.*{}.*` }}", value.get(..4).unwrap_or(&value)),
            find,
        ),
        (
            "{ server } >> { client && error }",
            "{ kind = server } >> { kind = client && status = error }".to_owned(),
            find,
        ),
        ("rate() by (service)", "{} | rate() by (resource.service.name)".to_owned(), &range),
        (
            "three quantiles by (service, name)",
            "{} | quantile_over_time(duration, .5, .9, .99) by (resource.service.name, name)"
                .to_owned(),
            &range,
        ),
    ] {
        let mut times = Vec::new();
        let (mut first, mut found) = (0.0, 0);
        for run in 0..runs {
            let mut request = ureq::get(format!("{api}/api/v1/query")).query("q", &query);
            for (key, value) in parameters {
                request = request.query(key, value);
            }
            let started = Instant::now();
            let answer: Value = request.call()?.body_mut().read_json()?;
            let time = started.elapsed().as_secs_f64() * 1e3;
            if run == 0 {
                first = time;
            }
            times.push(time);
            let list = answer["traces"].as_array().or(answer["series"].as_array());
            found = list.map_or(0, Vec::len);
        }
        print(&format!("TraceQL: {name}"), &mut times, first, found);
    }
    Ok(())
}

/// The values of an attribute, for a query editor.
pub fn measure_values(tempo: &str, runs: usize) -> anyhow::Result<()> {
    let mut times = Vec::new();
    let (mut first, mut found) = (0.0, 0);
    for run in 0..runs {
        let (time, answer) =
            get(&format!("{tempo}/api/v2/search/tag/resource.service.name/values"))?;
        if run == 0 {
            first = time;
        }
        times.push(time);
        found = answer["tagValues"].as_array().map_or(0, Vec::len);
    }
    print("values of resource.service.name (Tempo's API)", &mut times, first, found);
    Ok(())
}

/// A condition on a text attribute with many values, for one of the rarest that are known.
pub fn rare_value(api: &str, ids: &[String]) -> anyhow::Result<String> {
    for id in ids {
        let trace = get(&format!("{api}/api/v1/traces/{id}"))?.1;
        for key in ["order.id", "session.id", "user.id"] {
            let mut attributes = trace["resourceSpans"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|resource| resource["scopeSpans"].as_array().into_iter().flatten())
                .flat_map(|scope| scope["spans"].as_array().into_iter().flatten())
                .flat_map(|span| span["attributes"].as_array().into_iter().flatten());
            let found = attributes.find(|attribute| attribute["key"] == key);
            let value = found.and_then(|attribute| attribute["value"]["stringValue"].as_str());
            if let Some(value) = value {
                return Ok(format!("span.{key}={value}"));
            }
        }
    }
    anyhow::bail!("no trace has an attribute with rare values")
}

fn get(url: &str) -> anyhow::Result<(f64, Value)> {
    let started = Instant::now();
    let body: Value = ureq::get(url)
        .call()
        .with_context(|| url.to_owned())?
        .body_mut()
        .with_config()
        .limit(1 << 30)
        .read_json()?;
    Ok((started.elapsed().as_secs_f64() * 1e3, body))
}

fn print(name: &str, times: &mut [f64], first: f64, found: usize) {
    times.sort_by(f64::total_cmp);
    println!(
        "{name:<44} {:>9.2} ms median, {:>8.2} first, {:>8.2} slowest; {found} found",
        times[times.len() / 2],
        first,
        times[times.len() - 1],
    );
}
