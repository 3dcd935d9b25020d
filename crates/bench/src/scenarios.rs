//! The loads that brokers are compared by. Each brings up its clients from nothing, measures one thing and
//! checks every payload.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use mio::Events;

use crate::Fallible;
use crate::fleet::{Greeting, Wish, connect_all, connect_and_leave, leave_all, rest, subscribe_all};
use crate::ledger::{Faults, Head, Ledger, Order, Payload};
use crate::links::{Links, Play, Target};
use crate::process;
use crate::traffic::{Extent, Measure, Pace, Traffic};
use crate::wire::{Ack, Packet, PublishForm, subscribe};

/// Clients that connect at the same time.
const AT_ONCE: usize = 100;
/// The memory of a process is looked at once it has had the time to calm down.
const CALM: Duration = Duration::from_millis(2500);

/// How a scenario is run.
#[derive(Clone)]
pub struct Setting {
    /// Where the broker is, or the nodes of a cluster.
    pub target: Target,
    /// The processes of the broker: without them nothing is known of its CPU and memory.
    pub brokers: Vec<u32>,
    /// Length of the measured part of those that run for a time.
    pub measure: Duration,
    /// Bytes of a payload.
    pub payload: usize,
    /// Messages of one publisher that are on their way at a time.
    pub window: u64,
    /// Filters of each client where subscriptions are counted.
    pub filters: usize,
    /// Multiplies the number of clients, subscriptions and messages of those that count to a number.
    pub scale: f64,
}

impl Setting {
    fn count(&self, number: usize) -> usize {
        ((number as f64 * self.scale) as usize).max(1)
    }

    fn links(&self) -> Fallible<Links> {
        let mut target = self.target.clone();
        // Each own address has its own ports, and a port rests a minute after use.
        if target.sources.is_empty() && target.addresses.iter().all(|a| a.ip() == Ipv4Addr::LOCALHOST) {
            target.sources = (1..9).map(|n| IpAddr::V4(Ipv4Addr::new(127, 0, 0, n))).collect();
        }
        Ok(Links::new(target)?)
    }

    fn cpu(&self) -> Fallible<Duration> {
        Ok(self.brokers.iter().map(|&pid| process::cpu(pid)).sum::<std::io::Result<Duration>>()?)
    }

    fn resident(&self) -> Fallible<f64> {
        let bytes = self.brokers.iter().map(|&pid| process::resident(pid)).sum::<std::io::Result<u64>>()?;
        Ok(bytes as f64)
    }
}

/// What came out, by name.
pub type Figures = Vec<(&'static str, f64)>;

/// A figure by which brokers are compared.
pub struct Shown {
    /// Its name in [`Figures`].
    pub figure: &'static str,
    /// In words, with the unit.
    pub words: &'static str,
    /// Which way is better.
    pub better: Better,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Speed.
    More,
    /// Time, memory.
    Less,
}

/// One of the loads.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in words.
    pub about: &'static str,
    /// What it wants of the target.
    pub needs: Needs,
    /// What of it goes into the comparison.
    pub shown: &'static [Shown],
    /// The same load in a simpler place, of which it is to cost little more.
    pub against: Option<&'static str>,
    /// Runs it.
    pub run: fn(&Setting) -> Fallible<Figures>,
}

/// What a scenario wants of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A broker.
    Plain,
    /// A TLS listener.
    Tls,
    /// Three nodes that are joined.
    Cluster,
    /// A broker that may use the core of the load too.
    TwoCores,
}

impl Scenario {
    const fn with(mut self, needs: Needs) -> Scenario {
        self.needs = needs;
        self
    }

    const fn against(mut self, simpler: &'static str) -> Scenario {
        self.against = Some(simpler);
        self
    }
}

const fn more(figure: &'static str, words: &'static str) -> Shown {
    Shown { figure, words, better: Better::More }
}

const fn less(figure: &'static str, words: &'static str) -> Shown {
    Shown { figure, words, better: Better::Less }
}

const THROUGHPUT: &[Shown] = &[
    more("per_cpu_second", "deliveries per CPU-second"),
    less("cpu_seconds_per_million", "CPU-seconds per million"),
];
const LATENCY: &[Shown] =
    &[less("p50_us", "p50, µs"), less("p99_us", "p99, µs"), less("p999_us", "p99.9, µs")];
const CONNECTS: &[Shown] = &[more("per_cpu_second", "connects per CPU-second")];
const SUBSCRIPTIONS: &[Shown] = &[
    less("bytes_per_subscription", "bytes per subscription"),
    more("subscribes_per_cpu_second", "subscribes per CPU-second, ten filters a packet"),
];

const fn load(
    name: &'static str,
    about: &'static str,
    shown: &'static [Shown],
    run: fn(&Setting) -> Fallible<Figures>,
) -> Scenario {
    Scenario { name, about, needs: Needs::Plain, shown, against: None, run }
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    // What is measured against another one comes right after it: the machine's speed changes with time.
    load("pairs-q0", "1→1, 50 pairs, QoS 0", THROUGHPUT, |s| pairs(s, 0)),
    load("two-q0", "1→1, 50 pairs, QoS 0, two cores", THROUGHPUT, |s| pairs(s, 0))
        .with(Needs::TwoCores)
        .against("pairs-q0"),
    load("local-q0", "1→1 on one of three nodes, QoS 0", THROUGHPUT, |s| pairs(s, 0))
        .with(Needs::Cluster)
        .against("pairs-q0"),
    load("across-q0", "1→1 across three nodes, QoS 0", THROUGHPUT, |s| across(s, 0))
        .with(Needs::Cluster)
        .against("pairs-q0"),
    load("pairs-q1", "1→1, 50 pairs, QoS 1", THROUGHPUT, |s| pairs(s, 1)),
    load("two-q1", "1→1, 50 pairs, QoS 1, two cores", THROUGHPUT, |s| pairs(s, 1))
        .with(Needs::TwoCores)
        .against("pairs-q1"),
    load("across-q1", "1→1 across three nodes, QoS 1", THROUGHPUT, |s| across(s, 1))
        .with(Needs::Cluster)
        .against("pairs-q1"),
    load("pairs-q2", "1→1, 50 pairs, QoS 2", THROUGHPUT, |s| pairs(s, 2)),
    load("fan-out", "fan-out 1→200, QoS 0", THROUGHPUT, fan_out),
    load("fan-in", "fan-in 50→1, QoS 0", THROUGHPUT, fan_in),
    load("shared", "shared, 50→10 members, QoS 1", THROUGHPUT, shared),
    load("latency-q0", "5,000/s over 50 pairs, QoS 0", LATENCY, |s| latency(s, 0)),
    load("latency-q1", "5,000/s over 50 pairs, QoS 1", LATENCY, |s| latency(s, 1)),
    load("latency-70", "70 % of saturation, 50 pairs, QoS 0", LATENCY, latency_at_70),
    load("connects", "connects", CONNECTS, connects),
    load("connects-three", "connects to three nodes in turn", CONNECTS, connects).with(Needs::Cluster),
    load("idle", "idle connections", &[less("bytes_per_connection", "bytes per connection")], idle),
    load(
        "idle-tls",
        "idle TLS connections",
        &[less("bytes_per_connection", "bytes per connection")],
        idle_tls,
    )
    .with(Needs::Tls),
    load("subs-own", "each filter of one client", SUBSCRIPTIONS, |s| subscriptions(s, 1)),
    load("subs-ten", "each filter of ten clients", SUBSCRIPTIONS, |s| subscriptions(s, 10)),
    load(
        "retained",
        "retained messages",
        &[
            less("bytes_per_message", "bytes each"),
            more("fetched_per_cpu_second", "fetched per CPU-second"),
            more("stored_per_cpu_second", "stored per CPU-second"),
        ],
        retained,
    ),
    load(
        "queue",
        "offline queue in memory, QoS 1",
        &[
            more("in_per_cpu_second", "in per CPU-second"),
            more("drained_per_cpu_second", "drained per CPU-second"),
            less("bytes_per_message", "bytes each"),
        ],
        queue,
    ),
];

fn names(what: &str, count: usize) -> Vec<String> {
    let me = std::process::id();
    (0..count).map(|n| format!("bench-{me}-{what}-{n}")).collect()
}

fn up(links: &mut Links, what: &str, count: usize) -> Fallible<Vec<usize>> {
    up_at(links, what, count, 0)
}

fn up_at(links: &mut Links, what: &str, count: usize, place: usize) -> Fallible<Vec<usize>> {
    let clean = |name| Greeting::clean(name).at(place);
    let greetings: Vec<Greeting> = names(what, count).into_iter().map(clean).collect();
    connect_all(links, &greetings, AT_ONCE)
}

/// Clients that go to the nodes in turn, where there are several.
fn spread(what: &str, count: usize) -> Vec<Greeting> {
    (0..).zip(names(what, count)).map(|(place, name)| Greeting::clean(name).at(place)).collect()
}

fn wishes(ids: &[usize], filter: impl Fn(usize) -> String) -> Vec<Wish> {
    ids.iter().enumerate().map(|(n, &id)| Wish { id, filters: vec![filter(n)] }).collect()
}

fn faults(figures: &mut Figures, faults: Faults) {
    figures.extend([
        ("lost", faults.lost as f64),
        ("duplicated", faults.duplicated as f64),
        ("reordered", faults.reordered as f64),
        ("corrupt", faults.corrupt as f64),
    ]);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn throughput(measure: &Measure) -> Figures {
    let seconds = measure.time.as_secs_f64();
    let mut figures = vec![
        ("per_cpu_second", measure.per_cpu_second()),
        ("cpu_seconds_per_million", measure.broker_cpu.as_secs_f64() * 1e6 / measure.delivered.max(1) as f64),
        ("per_second", measure.delivered as f64 / seconds),
        ("broker_cpu_share", measure.broker_cpu.as_secs_f64() / seconds),
        ("generator_cpu_share", measure.own_cpu.as_secs_f64() / seconds),
        ("p50_us", micros(measure.latency.quantile(0.5))),
        ("p99_us", micros(measure.latency.quantile(0.99))),
        ("refused", measure.refused as f64),
    ];
    faults(&mut figures, measure.faults);
    figures
}

fn timed(setting: &Setting) -> Extent {
    Extent::Time { warm: setting.measure / 4, measure: setting.measure }
}

/// Whether publishers and subscribers are on one node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    Together,
    Across,
}

/// 50 publishers with a topic and a subscriber each.
fn pairs_up(setting: &Setting, qos: u8, pace: Pace, apart: Apart) -> Fallible<(Links, Traffic)> {
    let mut links = setting.links()?;
    let publishers = up(&mut links, "p", 50)?;
    let subscribers = up_at(&mut links, "s", 50, usize::from(apart == Apart::Across))?;
    subscribe_all(&mut links, &wishes(&subscribers, |n| format!("bench/pair/{n}")), qos, 1, 1)?;
    if apart == Apart::Across {
        // The other nodes learn the routes a moment after the SUBACK.
        rest(&mut links, CALM)?;
    }
    let mut traffic = Traffic::new(setting.payload, qos, 1, pace);
    for (n, &id) in publishers.iter().enumerate() {
        traffic.add_sender(&links, id, &format!("bench/pair/{n}"), false);
    }
    for (n, &id) in (0..).zip(&subscribers) {
        traffic.add_receiver(id, n, 1);
    }
    Ok((links, traffic))
}

fn pairs(setting: &Setting, qos: u8) -> Fallible<Figures> {
    let (mut links, mut traffic) = pairs_up(setting, qos, Pace::Window(setting.window), Apart::Together)?;
    Ok(throughput(&traffic.run(&mut links, &setting.brokers, timed(setting))?))
}

fn across(setting: &Setting, qos: u8) -> Fallible<Figures> {
    if setting.target.addresses.len() < 2 {
        return Err("this one needs the nodes of a cluster: -h HOST:PORT,HOST:PORT".into());
    }
    let (mut links, mut traffic) = pairs_up(setting, qos, Pace::Window(setting.window), Apart::Across)?;
    Ok(throughput(&traffic.run(&mut links, &setting.brokers, timed(setting))?))
}

fn fan_out(setting: &Setting) -> Fallible<Figures> {
    let mut links = setting.links()?;
    let publisher = up(&mut links, "p", 1)?;
    let subscribers = up(&mut links, "s", 200)?;
    subscribe_all(&mut links, &wishes(&subscribers, |_| "bench/out".to_owned()), 0, 1, 1)?;
    let mut traffic = Traffic::new(setting.payload, 0, 200, Pace::Window(setting.window));
    traffic.add_sender(&links, publisher[0], "bench/out", false);
    for &id in &subscribers {
        traffic.add_receiver(id, 0, 1);
    }
    Ok(throughput(&traffic.run(&mut links, &setting.brokers, timed(setting))?))
}

fn fan_in(setting: &Setting) -> Fallible<Figures> {
    let mut links = setting.links()?;
    let publishers = up(&mut links, "p", 50)?;
    let subscriber = up(&mut links, "s", 1)?;
    subscribe_all(&mut links, &wishes(&subscriber, |_| "bench/in/+".to_owned()), 0, 1, 1)?;
    let mut traffic = Traffic::new(setting.payload, 0, 1, Pace::Window(setting.window));
    for (n, &id) in publishers.iter().enumerate() {
        traffic.add_sender(&links, id, &format!("bench/in/{n}"), false);
    }
    traffic.add_receiver(subscriber[0], 0, 50);
    Ok(throughput(&traffic.run(&mut links, &setting.brokers, timed(setting))?))
}

fn shared(setting: &Setting) -> Fallible<Figures> {
    let mut links = setting.links()?;
    let publishers = up(&mut links, "p", 50)?;
    let members = up(&mut links, "s", 10)?;
    subscribe_all(&mut links, &wishes(&members, |_| "$share/group/bench/shared/+".to_owned()), 1, 1, 1)?;
    let mut traffic = Traffic::new(setting.payload, 1, 1, Pace::Window(setting.window));
    for (n, &id) in publishers.iter().enumerate() {
        traffic.add_sender(&links, id, &format!("bench/shared/{n}"), false);
    }
    for &id in &members {
        traffic.add_member(id, 50);
    }
    Ok(throughput(&traffic.run(&mut links, &setting.brokers, timed(setting))?))
}

fn latencies(measure: &Measure) -> Figures {
    let mut figures = vec![
        ("p50_us", micros(measure.latency.quantile(0.5))),
        ("p99_us", micros(measure.latency.quantile(0.99))),
        ("p999_us", micros(measure.latency.quantile(0.999))),
        ("cpu_us_per_message", micros(measure.broker_cpu) / measure.delivered.max(1) as f64),
        ("per_second", measure.delivered as f64 / measure.time.as_secs_f64()),
    ];
    faults(&mut figures, measure.faults);
    figures
}

fn latency(setting: &Setting, qos: u8) -> Fallible<Figures> {
    let (mut links, mut traffic) = pairs_up(setting, qos, Pace::Rate(5000.0), Apart::Together)?;
    Ok(latencies(&traffic.run(&mut links, &setting.brokers, timed(setting))?))
}

/// Saturation is the highest rate that both the broker and the generator sustain; it is sought downwards
/// from the throughput with windows, which come in larger batches and are therefore cheaper.
fn latency_at_70(setting: &Setting) -> Fallible<Figures> {
    let (mut links, mut traffic) = pairs_up(setting, 0, Pace::Window(setting.window), Apart::Together)?;
    let full = traffic.run(&mut links, &setting.brokers, timed(setting))?;
    drop(links);
    let mut rate = full.delivered as f64 / full.time.as_secs_f64();
    let at = |rate| -> Fallible<Measure> {
        let (mut links, mut traffic) = pairs_up(setting, 0, Pace::Rate(rate), Apart::Together)?;
        traffic.run(&mut links, &setting.brokers, timed(setting))
    };
    while !is_sustained(&at(rate)?, rate) {
        rate *= 0.85;
        if rate < 1000.0 {
            return Err("no rate is sustained".into());
        }
    }
    let measure = at(rate * 0.7)?;
    let mut figures = latencies(&measure);
    figures.push(("saturation_per_second", rate));
    Ok(figures)
}

/// Whether as much came as was sent, and without a growing queue.
fn is_sustained(measure: &Measure, rate: f64) -> bool {
    let delivered = measure.delivered as f64 / measure.time.as_secs_f64();
    measure.faults.lost == 0 && delivered > 0.97 * rate && measure.latency.quantile(0.99) < CALM / 20
}

fn connects(setting: &Setting) -> Fallible<Figures> {
    let mut links = setting.links()?;
    let count = setting.count(5000);
    let greetings = spread("c", count);
    connect_and_leave(&mut links, &greetings[..count.min(100)], AT_ONCE)?;
    let before = setting.cpu()?;
    connect_and_leave(&mut links, &greetings, AT_ONCE)?;
    let cpu = (setting.cpu()? - before).as_secs_f64();
    Ok(vec![("per_cpu_second", count as f64 / cpu.max(1e-9)), ("cpu_us_each", cpu * 1e6 / count as f64)])
}

fn idle(setting: &Setting) -> Fallible<Figures> {
    idle_clients(setting, 15_000)
}

fn idle_tls(setting: &Setting) -> Fallible<Figures> {
    if setting.target.layers.tls.is_none() {
        return Err("this one needs --ssl and the port of a TLS listener".into());
    }
    idle_clients(setting, 1000)
}

fn idle_clients(setting: &Setting, count: usize) -> Fallible<Figures> {
    let mut links = setting.links()?;
    // The first ones pay for what is there once.
    up(&mut links, "w", 200)?;
    rest(&mut links, CALM)?;
    let before = setting.resident()?;
    let files = usize::try_from(process::raise_files_max()).unwrap_or(usize::MAX);
    let count = setting.count(count).min(files.saturating_sub(500)).max(1);
    up(&mut links, "i", count)?;
    rest(&mut links, CALM)?;
    let bytes = setting.resident()? - before;
    let then = setting.cpu()?;
    rest(&mut links, Duration::from_secs(1))?;
    let quiet = (setting.cpu()? - then).as_secs_f64();
    Ok(vec![("bytes_per_connection", bytes / count as f64), ("cpu_share_when_idle", quiet)])
}

fn subscriptions(setting: &Setting, clients_per_filter: usize) -> Fallible<Figures> {
    let mut links = setting.links()?;
    let per_client = setting.filters;
    let clients = setting.count(1000).next_multiple_of(clients_per_filter);
    let ids = connect_all(&mut links, &spread("s", clients), AT_ONCE)?;
    rest(&mut links, CALM)?;
    let wishes: Vec<Wish> = (0..)
        .zip(&ids)
        .map(|(n, &id)| {
            let group = n / clients_per_filter;
            Wish { id, filters: (0..per_client).map(|k| format!("device/{group}-{k}/state")).collect() }
        })
        .collect();
    let (memory, cpu) = (setting.resident()?, setting.cpu()?);
    subscribe_all(&mut links, &wishes, 0, 10, 2)?;
    let cpu = (setting.cpu()? - cpu).as_secs_f64();
    rest(&mut links, CALM)?;
    let bytes = setting.resident()? - memory;
    let count = (clients * per_client) as f64;
    Ok(vec![("bytes_per_subscription", bytes / count), ("subscribes_per_cpu_second", count / cpu.max(1e-9))])
}

/// Publishes a message to each of many topics, QoS 1, with a window.
struct Filling {
    forms: Vec<PublishForm>,
    next: usize,
    acknowledged: usize,
    refused: usize,
    failed: Option<String>,
}

impl Filling {
    fn send(&mut self, links: &mut Links, id: usize) {
        if let Some(form) = self.forms.get(self.next) {
            let number = self.next as u64;
            let packet_id = u16::try_from(self.next % 60_000 + 1).unwrap_or(1);
            Payload::seal(form.write(links.out(id), packet_id), Head { publisher: 0, number, stamp: 0 });
            self.next += 1;
        }
    }
}

impl Play for Filling {
    fn opened(&mut self, _: &mut Links, _: usize) {}
    fn packet(&mut self, links: &mut Links, id: usize, packet: Packet<'_>) {
        if let Packet::Ack { kind: Ack::PubAck, reason, .. } = packet {
            self.acknowledged += 1;
            self.refused += usize::from(reason >= 0x80);
            self.send(links, id);
        }
    }
    fn closed(&mut self, _: &mut Links, _: usize, why: &str) {
        self.failed.get_or_insert(format!("a connection ended in the middle of the run: {why}"));
    }
}

/// Takes what the retained store gives to a new subscription.
struct Fetching {
    payload: Payload,
    ledger: Ledger,
    received: usize,
    failed: Option<String>,
}

impl Play for Fetching {
    fn opened(&mut self, _: &mut Links, _: usize) {}
    fn packet(&mut self, _: &mut Links, _: usize, packet: Packet<'_>) {
        if let Packet::Publish { payload, retain, .. } = packet {
            self.received += 1;
            match self.payload.open(payload) {
                Some(head) if retain => {
                    self.ledger.note(head);
                }
                _ => self.ledger.note_corrupt(),
            }
        }
    }
    fn closed(&mut self, _: &mut Links, _: usize, why: &str) {
        self.failed.get_or_insert(format!("a connection ended in the middle of the run: {why}"));
    }
}

fn retained(setting: &Setting) -> Fallible<Figures> {
    let mut links = setting.links()?;
    let count = setting.count(50_000);
    let payload = Payload::new(setting.payload);
    let ids = up(&mut links, "r", 4)?;
    let mut events = Events::with_capacity(64);
    let wait = Duration::from_millis(20);
    let form = |n: usize| {
        let topic = format!("kept/{}/{}", n / 1000, n % 1000);
        PublishForm::new(links.version(), &topic, 1, true, payload.blank())
    };
    let forms = (0..count).map(form).collect();
    let mut fill = Filling { forms, next: 0, acknowledged: 0, refused: 0, failed: None };
    rest(&mut links, CALM)?;
    let (memory, cpu) = (setting.resident()?, setting.cpu()?);
    for _ in 0..setting.window {
        fill.send(&mut links, ids[0]);
    }
    let (mut progress, mut heard) = (0, Instant::now());
    while fill.acknowledged < count {
        links.turn(&mut events, wait, &mut fill)?;
        if fill.acknowledged > progress {
            (progress, heard) = (fill.acknowledged, Instant::now());
        } else if heard.elapsed() > Duration::from_secs(5) {
            return Err(format!("{progress} of {count} acknowledged, then silence").into());
        }
        if let Some(why) = fill.failed {
            return Err(why.into());
        }
    }
    let stored = (setting.cpu()? - cpu).as_secs_f64();
    rest(&mut links, CALM)?;
    let bytes = setting.resident()? - memory;
    let mut sum = Faults::default();
    let before = setting.cpu()?;
    for &id in &ids[1..] {
        let ledger = Ledger::new(0, 1, Order::Free);
        let mut fetch = Fetching { payload: payload.clone(), ledger, received: 0, failed: None };
        let version = links.version();
        subscribe(links.out(id), version, 1, &["kept/#"], 0);
        let mut silent = 0;
        while fetch.received < count && silent < 100 {
            silent = if links.turn(&mut events, wait, &mut fetch)? == 0 { silent + 1 } else { 0 };
        }
        if let Some(why) = fetch.failed {
            return Err(why.into());
        }
        sum.add(fetch.ledger.close(|_| count as u64));
    }
    let fetched = (count * (ids.len() - 1)) as f64 / (setting.cpu()? - before).as_secs_f64().max(1e-9);
    let mut figures = vec![
        ("bytes_per_message", bytes / count as f64),
        ("fetched_per_cpu_second", fetched),
        ("stored_per_cpu_second", count as f64 / stored.max(1e-9)),
        ("refused", fill.refused as f64),
    ];
    faults(&mut figures, sum);
    // The next round starts from an empty store.
    let forms = (0..count).map(|n| {
        let topic = format!("kept/{}/{}", n / 1000, n % 1000);
        PublishForm::new(links.version(), &topic, 0, true, &[])
    });
    let forms: Vec<PublishForm> = forms.collect();
    for form in &forms {
        form.write(links.out(ids[0]), 0);
    }
    rest(&mut links, CALM)?;
    Ok(figures)
}

fn queue(setting: &Setting) -> Fallible<Figures> {
    let mut links = setting.links()?;
    let sessions = 10;
    let count = setting.count(100_000) as u64;
    let greetings: Vec<Greeting> = names("q", sessions).into_iter().map(Greeting::kept).collect();
    let publishers = up(&mut links, "p", sessions)?;
    let subscribers = connect_all(&mut links, &greetings, AT_ONCE)?;
    subscribe_all(&mut links, &wishes(&subscribers, |n| format!("bench/queue/{n}")), 1, 1, 1)?;
    leave_all(&mut links, &subscribers)?;
    rest(&mut links, CALM)?;
    let mut traffic = Traffic::new(setting.payload, 1, 0, Pace::Window(setting.window));
    for (n, &id) in publishers.iter().enumerate() {
        traffic.add_sender(&links, id, &format!("bench/queue/{n}"), false);
    }
    let memory = setting.resident()?;
    let inward = traffic.run(&mut links, &setting.brokers, Extent::Count(count))?;
    rest(&mut links, CALM)?;
    let bytes = setting.resident()? - memory;
    for (n, &id) in (0..).zip(&subscribers) {
        traffic.add_receiver(id, n, 1);
    }
    traffic.set_fan(1);
    let back: Vec<(usize, Greeting)> = subscribers.into_iter().zip(greetings).collect();
    traffic.resume(&mut links, &back)?;
    let outward = traffic.run(&mut links, &setting.brokers, Extent::Count(0))?;
    // Nothing of these sessions stays behind.
    let farewell: Vec<Greeting> = names("q", sessions).into_iter().map(Greeting::clean).collect();
    let mut links = setting.links()?;
    connect_and_leave(&mut links, &farewell, AT_ONCE)?;
    let mut figures = vec![
        ("in_per_cpu_second", inward.per_cpu_second()),
        ("drained_per_cpu_second", outward.per_cpu_second()),
        ("bytes_per_message", bytes / count as f64),
        ("refused", inward.refused as f64),
    ];
    faults(&mut figures, outward.faults);
    Ok(figures)
}
