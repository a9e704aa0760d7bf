//! `mbspike bench`.

use super::case::{Case, TINY, code, stderr};

#[test]
fn a_benchmark_prints_the_keys_it_promises() {
    let case = Case::new(TINY);
    let output = case.run(&["bench", "step", "--config", "tiny.toml", "--steps", "3", "--json"]);
    let times: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["median_s", "forward_s", "backward_s", "samples_per_s", "peak_rss_bytes"] {
        assert!(times[key].is_number(), "{key}: {times}");
    }
    // The network that has been trained is the one that counts.
    assert_eq!(times["median_s"], times["trained"]["median_s"]);
    assert_eq!(times["n_warm_up"], 300);
    assert!(times["fresh"]["median_s"].is_number(), "{times}");
}

#[test]
fn a_benchmark_takes_a_fresh_network_one_after_a_warm_up_or_one_from_a_checkpoint() {
    let case = Case::new(TINY);
    let bench = |more: &[&str]| {
        let arguments = ["bench", "step", "--config", "tiny.toml", "--steps", "2", "--json"];
        case.run(&[&arguments[..], more].concat())
    };
    let times = |more: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&bench(more).stdout).unwrap()
    };
    let fresh = times(&["--warm-up", "0"]);
    assert!(fresh["trained"].is_null() && fresh["median_s"] == fresh["fresh"]["median_s"]);
    let trained = times(&["--warm-up", "5"]);
    assert!(trained["n_warm_up"] == 5 && trained["trained"]["median_s"].is_number());
    let met = cfg!(target_arch = "x86_64").then_some(false);
    for network in ["fresh", "trained"] {
        assert_eq!(trained[network]["met_subnormals"], serde_json::json!(met), "{network}");
    }

    let missing = bench(&["--checkpoint", "none.safetensors"]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("none.safetensors"), "{}", stderr(&missing));
    assert_eq!(code(&bench(&["--checkpoint", "a", "--warm-up", "3"])), 2);
    assert_eq!(code(&case.run(&["run", "tiny.toml", "--no-figures"])), 0);
    let checkpoint = case.run_folder("runs", "bits-1").join("checkpoint.safetensors");
    let loaded = times(&["--checkpoint", checkpoint.to_str().unwrap()]);
    assert!(loaded["trained"]["median_s"].is_number(), "{loaded}");
}
