//! `fieldgate`: the edge daemon and the technician's command line.

fn main() -> std::process::ExitCode {
    fieldgate_edge::telemetry::start();
    let path = std::env::args().next_back().unwrap_or_default();
    let loaded = fieldgate_edge::config::load(path.as_ref()).expect("loads");
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    rt.block_on(async {
        let stop = async { drop(tokio::signal::ctrl_c().await) };
        if let Err(e) = fieldgate_edge::pipeline::run(loaded.config, loaded.problems, stop).await {
            tracing::error!("{e}")
        }
    });
    std::process::ExitCode::SUCCESS
}
