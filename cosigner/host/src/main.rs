//! `trellis-cosigner-host`: the options, a host, and an orderly end at SIGTERM.

use std::{
    error::Error,
    fs,
    future::{Future, poll_fn},
    io,
    pin::pin,
    process::ExitCode,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

use clap::Parser;
use cosigner_host::{Enclave, Host, Kms, Log, Options, Records, Server};
use cosigner_protocol::Timeouts;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

/// How long requests may go on after SIGTERM: longer than any takes.
const LAST_REQUESTS: Duration = Duration::from_secs(20);

/// For AWS' client, whose futures lie in each other: finding the credentials of an instance's role takes more than half a
/// mebibyte without optimisation.
const CLIENT_STACK: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trellis-cosigner-host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    // AWS' client needs it; everything else here is threads.
    let runtime =
        Builder::new_multi_thread().worker_threads(1).thread_stack_size(CLIENT_STACK).enable_all().build()?;
    // Before anything begins that a signal should not cut off.
    let mut signals = {
        let _context = runtime.enter();
        [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]
    };
    let records = Records::open(&options.records)
        .map_err(|error| format!("the key records {}: {error}", options.records.display()))?;
    let log = Log::new(records.log_key());
    let seconds = |count: u32| Duration::from_secs(count.into());
    let keys = [vec![options.kms_key], options.former_kms_key].concat();
    let kms = Kms::new(runtime.handle(), keys, options.kms_endpoint.as_deref(), seconds(options.kms_time))?;
    let enclave = Enclave::new(
        options.enclave,
        Timeouts::default(),
        seconds(options.enclave_time),
        options.enclave_connections.max(1),
    );
    let host = Host { records, enclave, kms, log };
    let server = Server::bind(host, &options.listen, options.connections.max(1))
        .map_err(|error| format!("cannot listen at {}: {error}", options.listen))?;
    eprintln!("trellis-cosigner-host {} listens at {}", env!("CARGO_PKG_VERSION"), options.listen);

    let (work, socket) = (server.work(), server.socket().map(ToOwned::to_owned));
    thread::Builder::new().name("listener".to_owned()).spawn(move || server.run())?;
    let input_ended = Arc::new(Notify::new());
    if options.until_eof {
        let input_ended = input_ended.clone();
        thread::Builder::new().name("until-eof".to_owned()).spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            input_ended.notify_one();
        })?;
    }
    wait_for_the_end(&runtime, &mut signals, &input_ended);
    work.begin_no_more();
    eprintln!("trellis-cosigner-host ends when the requests in hand are done");
    let done = work.wait(LAST_REQUESTS);
    if let Some(socket) = socket {
        let _ = fs::remove_file(socket);
    }
    if done { Ok(()) } else { Err("requests were still going on".into()) }
}

/// SIGTERM, SIGINT, or the end of standard input where that counts.
fn wait_for_the_end(runtime: &Runtime, signals: &mut [Signal], input_ended: &Notify) {
    runtime.block_on(async {
        let mut input_ended = pin!(input_ended.notified());
        poll_fn(|context| {
            let mut ended = input_ended.as_mut().poll(context).is_ready();
            for signal in signals.iter_mut() {
                ended |= signal.poll_recv(context).is_ready();
            }
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
}
