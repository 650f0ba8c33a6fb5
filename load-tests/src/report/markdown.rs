//! `docs/benchmarks.md`, out of the report alone.

use std::fmt::Write as _;

use super::number::short;
use super::table::{COLUMNS, cell};
use super::{Figure, Report, Row, targets};

/// The page. `chart` is the chart's file beside it, `data` the report's.
pub(crate) fn page(report: &Report, chart: &str, data: &str) -> String {
    let mut text = format!(
        "# Benchmarks

<!-- Made by `make bench`; edit load-tests/src/report/markdown.rs instead. -->

Weir beside nginx, HAProxy and Envoy: same machine, same upstream, same load, in turn.

![CPU time a request]({chart})

## Targets

"
    );
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "| what | at most | found | held |\n| --- | ---: | ---: | --- |");
    for target in targets::judge(report) {
        let held = if target.held() { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {} | {} | {} | {held} |", target.what, short(target.bound), short(target.found));
    }
    if let Some(share) = report.disturbed() {
        let _ = writeln!(
            text,
            "\n**The machine was busy**: up to {share:.0} % of the proxy's core went to something else. Ratios of CPU hold \
             roughly, times do not."
        );
    }
    text.push_str("\n## Rows\n\nIn brackets: Weir's figure over this one. Below 1, Weir needs less.\n\n");
    for row in &report.rows {
        table(&mut text, row);
    }
    if let Some(slope) = report.slope() {
        let _ = writeln!(
            text,
            "### Memory a tenant\n\nResident memory with {} tenants less that with {}, over the difference, after traffic to \
             each: KiB, with the connection to its upstream that each keeps.\n\n| | KiB a tenant |\n| --- | ---: |",
            slope.to, slope.from
        );
        for (who, kib) in slope.kib {
            let _ = writeln!(text, "| {who} | {} |", kib.map_or("-".into(), short));
        }
        text.push('\n');
    }
    text.push_str(&how(report, data));
    text
}

fn table(text: &mut String, row: &Row) {
    let _ = writeln!(text, "### {}\n\n{}.\n", row.name, capital(&row.about));
    if let Some(reason) = &row.left_out {
        let _ = writeln!(text, "Not run: {reason}.\n");
        return;
    }
    let columns: Vec<_> = COLUMNS.iter().filter(|(figure, _)| row.has(*figure)).collect();
    let head: String = columns.iter().map(|(_, title)| format!(" {title} |")).collect();
    let _ = writeln!(text, "| |{head}\n| --- |{}", " ---: |".repeat(columns.len()));
    for entry in &row.entries {
        let cells: String = columns.iter().map(|(figure, _)| format!(" {} |", cell(row, entry, *figure))).collect();
        let _ = writeln!(text, "| {} |{cells}", entry.label());
    }
    text.push('\n');
    for entry in &row.entries {
        if let Some(failure) = &entry.failure {
            let _ = writeln!(text, "{} failed: {failure}.\n", entry.label());
        }
    }
    let spreads = row.entries.iter().filter_map(|entry| entry.spread(Figure::Cpu)).max_by(f64::total_cmp);
    let others = row.entries.iter().filter_map(|entry| entry.median(Figure::Others)).max_by(f64::total_cmp);
    let busy = row.entries.iter().filter_map(|entry| entry.median(Figure::LoadBusy)).max_by(f64::total_cmp);
    if let (Some(spread), Some(busy), Some(others)) = (spreads, busy, others) {
        let _ = writeln!(
            text,
            "Quartiles of the rounds' CPU are at most {:.0} % of the median apart. Generator and upstream used at most \
             {busy:.0} % of a core; what else ran, at most {others:.0} % of the proxy's.\n",
            spread * 100.0
        );
    }
    let late = row.entries.iter().filter_map(|entry| entry.median(Figure::Late)).max_by(f64::total_cmp);
    let offered = row.entries.iter().find_map(|entry| entry.median(Figure::Offered));
    if let (Some(late), Some(offered)) = (late, offered) {
        let _ = writeln!(
            text,
            "The open loop offered {} requests a second; 99 of 100 were sent at most {} µs after they were due.\n",
            short(offered),
            short(late)
        );
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn how(report: &Report, data: &str) -> String {
    let machine = &report.machine;
    let versions: Vec<String> = report.versions.iter().map(|(name, version)| format!("- {name}: {version}")).collect();
    format!(
        "## How to read it

Figures are medians of {rounds} rounds. A round starts each proxy in turn (A B C D, then A B C D again), so
that what the machine does besides meets all alike. Machines differ and drift: ratios out of one run
count, figures of two runs do not compare.

- **CPU µs/req**: time that the scheduler gave all threads of the proxy, over the requests answered, in a
  closed loop. It is what a request costs; it does not depend on how fast the load comes, much.
- **req/s**: of that closed loop. Without a proxy, generator and upstream reach {direct_rate} requests a second on
  their core ({direct_cpu} µs each). Where they were busy nearly all the time, a proxy could have done more.
- **p50, p99**: of an open loop at half the slowest proxy's throughput, arrivals at random (Poisson), the
  same for all. A latency counts from when a request was due, so that a stall is paid for by each
  request that was due meanwhile. Where each proxy runs with and without a log, Weir is measured
  without and the others with one, which is how each meters.
- **RSS MiB**: resident memory after the closed loop; for tenants after traffic to each.
- **start ms**: from the start of the process to the first right answers, of the last tenant and one in
  the middle. Weir starts with an empty state directory and takes all from its control server.
- **restart ms**: the same with the state directory of the start before. Others keep nothing.
- **instr/req**: instructions in user space, by callgrind, one request after another on one connection.
- **KiB/conn**: resident memory that a waiting connection adds.

Each answer is checked (status, length; of gRPC the trailers' `grpc-status` too), and before each round: the
body in full, which cluster was asked, the Host that it saw, forwarding headers, and that a host that nobody has is not served. A proxy
that answers wrongly, or breaks off, has no figure in that row.

## What is equal, and what is not

One worker each, alone on core {proxy_core}; upstream on core {upstream_core}, load on core {generator_core}. Connections to the upstream
are kept, `x-forwarded-for` and `x-forwarded-proto` are set. TLS 1.3, one ECDSA P-256 certificate, X25519,
AES-128-GCM. A tenant is a host, two routes by path prefix, two clusters, and a limit of {limit} requests
a second, which is never reached; tenants are asked in turn. HTTP/2 is measured over few connections with many
streams; its open loop has 64 streams on each. In rows with HTTP/2 to the upstream, generator and upstream are
busier than the proxy: there CPU and latency count, requests a second do not.

- Weir meters every tenant durably in every row; it cannot be turned off. Others meter by their log, so
  they run without and with one: JSON, to a file, with the same fields. nginx writes 64 KiB at once, Envoy
  buffers likewise, HAProxy can only write each line by itself.
- nginx has a `server` block a tenant and an `upstream` block a cluster, as ingress controllers write them.
- To an upstream nginx speaks HTTP/2 by `grpc_pass` alone, one request at a time on each connection; so it does in
  `h2c` and `grpc`. The others have many streams on few connections.
- HAProxy has a map from host to tenant, a backend a cluster, and a stick table.
- Envoy has a static configuration: a virtual host a tenant with its `local_ratelimit`. It makes no
  request ids here.
- Weir's control server runs beside the upstream, and is not counted. Its proxy is.

## Run it

    make bench          # about 45 minutes, on a machine that does nothing else
    make bench QUICK=1  # about 5 minutes; writes target/bench, not this page

`load-tests/src/rows.rs` has the rows: another is another line. [{data}]({data}) has every round.

This one: {processor}, {count} CPUs, {memory} MiB, Linux {kernel}; load {load} before it began; it took {seconds} s.

{versions}
",
        rounds = report.rounds,
        direct_rate = short(report.direct.rate),
        direct_cpu = short(report.direct.cpu),
        proxy_core = machine.cores.proxy,
        upstream_core = machine.cores.upstream,
        generator_core = machine.cores.generator,
        limit = short(crate::rows::LIMIT.into()),
        processor = machine.processor,
        count = machine.count,
        memory = machine.memory_mib,
        kernel = machine.kernel,
        load = short(machine.load_before),
        seconds = report.seconds,
        versions = versions.join("\n"),
    )
}
