//! Threads, channels, a lock and a condition, sleeps; a line of the log for each step.
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn mix(mut state: u64, rounds: usize) -> u64 {
    for _ in 0..rounds {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    state
}

fn main() {
    let shared = Arc::new((Mutex::new(0u64), Condvar::new()));
    let (answers_in, answers) = mpsc::channel::<(usize, u64)>();
    let mut requests = Vec::new();
    let mut workers = Vec::new();
    for index in 0..4 {
        let (request_in, request) = mpsc::channel::<u64>();
        let answers_in = answers_in.clone();
        let shared = Arc::clone(&shared);
        requests.push(request_in);
        workers.push(thread::spawn(move || {
            let mut last = 0;
            for seed in request {
                last = mix(seed + index as u64 + 1, 1_000_000);
                let (count, changed) = &*shared;
                *count.lock().unwrap() += 1;
                changed.notify_one();
                answers_in.send((index, last)).unwrap();
            }
            last
        }));
    }
    let mut log = File::create("log.txt").unwrap();
    let mut seen: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut chain = 1u64;
    for step in 0..200u64 {
        for request in &requests {
            request.send(chain ^ step).unwrap();
        }
        let (count, changed) = &*shared;
        let mut guard = count.lock().unwrap();
        while *guard < (step + 1) * 4 {
            guard = changed.wait_timeout(guard, Duration::from_millis(50)).unwrap().0;
        }
        drop(guard);
        let mut parts: Vec<(usize, u64)> = (0..4).map(|_| answers.recv().unwrap()).collect();
        parts.sort();
        for (index, value) in parts {
            chain = chain.rotate_left(7) ^ value.wrapping_mul(index as u64 + 3);
        }
        seen.insert(chain, vec![step as u8; 1000]);
        let before = Instant::now();
        thread::sleep(Duration::from_millis(2));
        assert!(before.elapsed() >= Duration::from_millis(2));
        writeln!(log, "step {} chain {:016x}", step, chain).unwrap();
    }
    drop(requests);
    let last = workers.into_iter().fold(0u64, |sum, worker| sum.wrapping_mul(31).wrapping_add(worker.join().unwrap()));
    let ballast: usize = seen.values().map(|bytes| bytes.len() + bytes[0] as usize).sum();
    println!("done {:016x} {:016x} {}", chain, last, ballast);
    std::process::exit(8);
}
