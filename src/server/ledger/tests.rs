use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::state::MOMENT;
use super::*;
use crate::server::lines::Lost;

const SECOND: Duration = Duration::from_secs(1);

fn ledger(connection_bytes: usize, request_bytes: usize) -> Arc<Ledger> {
    Ledger::new(Bounds { connection_bytes, request_bytes }, Arc::new(Metrics::new(Lost::default()).unwrap()))
}

async fn open(ledger: &Arc<Ledger>, address: u8, merit: Merit) -> Arc<Account> {
    let account = ledger.open(Ipv4Addr::new(127, 0, 0, address).into(), 1).await;
    match merit {
        Merit::Proven => account.answered(),
        merit => account.promote(merit),
    }
    account.waits_for_client();
    account
}

/// Drops and returns those of `accounts` that must close.
fn closed<'a>(accounts: &mut Vec<(&'a str, Arc<Account>)>) -> Vec<&'a str> {
    let closed = accounts.iter().filter(|(_, account)| account.is_closing()).map(|(name, _)| *name).collect();
    accounts.retain(|(_, account)| !account.is_closing());
    closed
}

#[tokio::test(start_paused = true)]
async fn the_least_useful_connection_of_the_address_with_the_most_gives_way() {
    let ledger = ledger(9, 0);
    let mut accounts = Vec::new();
    for (name, address, merit) in [
        ("alone", 1, Merit::Handshake),
        ("first", 2, Merit::Proven),
        ("second", 2, Merit::Proven),
        ("idle", 2, Merit::Unproven),
        ("old handshake", 2, Merit::Handshake),
        ("new handshake", 2, Merit::Handshake),
        ("silent", 2, Merit::Silent),
        ("pair", 3, Merit::Handshake),
        ("pair", 3, Merit::Handshake),
    ] {
        accounts.push((name, open(&ledger, address, merit).await));
        tokio::time::advance(SECOND).await;
    }
    accounts[1].1.waits_for_client();
    tokio::time::advance(SECOND).await;
    for (newcomer, victim) in [
        (2, "silent"),
        (4, "old handshake"),
        (1, "new handshake"),
        (2, "idle"),
        (2, "second"),
        (3, "first"),
        (3, "pair"),
    ] {
        accounts.push(("newcomer", open(&ledger, newcomer, Merit::Proven).await));
        assert_eq!(closed(&mut accounts), [victim], "for a newcomer of address {newcomer}");
    }
    assert_eq!(ledger.usage().connections, 9);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_at_the_expense_of_its_own_kind() {
    for flood in [Merit::Silent, Merit::Handshake, Merit::Unproven, Merit::Proven] {
        let ledger = ledger(12, 0);
        let mut accounts = Vec::new();
        for merit in Merit::ALL.into_iter().filter(|merit| *merit != flood) {
            accounts.push(("other", open(&ledger, 1, merit).await));
        }
        for name in ["first", "second", "of the flood", "of the flood", "of the flood"] {
            accounts.push((name, open(&ledger, 1, flood).await));
            tokio::time::advance(SECOND / 100).await;
        }
        for merit in Merit::ALL {
            accounts.push(("other", open(&ledger, 1, merit).await));
        }
        accounts[3].1.waits_for_client();
        for victim in ["second", "of the flood"] {
            accounts.push(("newcomer", open(&ledger, 1, Merit::Silent).await));
            assert_eq!(closed(&mut accounts), [victim], "{flood:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_gives_way_who_waits_for_the_server() {
    let ledger = ledger(8, 0);
    let mut accounts = Vec::new();
    for _ in 0..8 {
        accounts.push(("waits", ledger.open(Ipv4Addr::LOCALHOST.into(), 1).await));
    }
    let mut newcomer = std::pin::pin!(open(&ledger, 1, Merit::Handshake));
    let mut context = Context::from_waker(Waker::noop());
    assert!(newcomer.as_mut().poll(&mut context).is_pending());
    assert_eq!(closed(&mut accounts), [""; 0]);
    accounts[4].0 = "had a turn";
    accounts[4].1.waits_for_client();
    assert!(newcomer.as_mut().poll(&mut context).is_pending());
    assert_eq!(closed(&mut accounts), [""; 0], "it has had no time to go on");
    tokio::time::advance(MOMENT).await;
    let first = newcomer.await;
    assert_eq!(closed(&mut accounts), ["had a turn"]);
    // All are busy without end.
    let newcomer = open(&ledger, 1, Merit::Handshake);
    let busy = async {
        tokio::time::sleep(2 * URGENT).await;
        closed(&mut accounts)
    };
    let (_second, closed) = tokio::join!(newcomer, busy);
    assert!(!closed.is_empty());
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_waits_for_those_that_were_told_to_close() {
    let ledger = ledger(8, 0);
    let mut accounts = Vec::new();
    // One more than the limit, within its tolerance.
    for _ in 0..9 {
        accounts.push(open(&ledger, 1, Merit::Proven).await);
    }
    let mut newcomer = std::pin::pin!(open(&ledger, 1, Merit::Handshake));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(newcomer.as_mut().poll(&mut context).is_pending());
        tokio::time::advance(MOMENT).await;
    }
    accounts.retain(|account| !account.is_closing());
    assert!(newcomer.as_mut().poll(&mut context).is_ready());
}

#[tokio::test(start_paused = true)]
async fn the_one_that_has_held_the_most_for_longest_gives_way() {
    let ledger = ledger(1000, 1000);
    let (large, slow, quick, other) = (
        open(&ledger, 1, Merit::Proven).await,
        open(&ledger, 1, Merit::Proven).await,
        open(&ledger, 1, Merit::Proven).await,
        open(&ledger, 2, Merit::Proven).await,
    );
    let mut slow_charge = slow.charge(200).unwrap();
    tokio::time::advance(10 * SECOND).await;
    let large_charge = large.charge(600).unwrap();
    tokio::time::advance(SECOND).await;
    let quick_charge = quick.charge(200).unwrap();
    // 200 bytes for 11 s are more than 600 for 1 s.
    assert_eq!(slow_charge.grow(1), Err(Full));
    let other_charge = other.charge(100).unwrap();
    assert!(slow.is_closing() && !large.is_closing() && !quick.is_closing());
    // Its memory counts until it is dropped.
    assert_eq!(ledger.usage().request_bytes, 1100);
    assert!(other.charge(50).is_err());
    drop(slow_charge);
    let more = other.charge(100).unwrap();
    assert_eq!(ledger.usage().request_bytes, 1000);
    // A sent answer shows that the held bytes are useful.
    tokio::time::advance(2 * SECOND).await;
    large.answered();
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(quick.charge(1).is_err());
    assert!(!large.is_closing());
    drop((large_charge, quick_charge, other_charge, more));
    assert_eq!(ledger.usage().request_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn only_what_would_free_something_gives_way_to_a_request() {
    let ledger = ledger(1000, 1000);
    let (idle, at_work, other, claimant) = (
        open(&ledger, 1, Merit::Handshake).await,
        open(&ledger, 1, Merit::Proven).await,
        open(&ledger, 2, Merit::Unproven).await,
        open(&ledger, 3, Merit::Unproven).await,
    );
    let _other_charge = other.charge(350);
    let mut work = at_work.charge(600).unwrap();
    work.set_phase(Phase::AtWork);
    let _charge = claimant.charge(100).unwrap();
    // The heaviest address can release nothing, so the next one closes connections.
    assert!(other.is_closing() && !idle.is_closing() && !at_work.is_closing());
    assert_eq!(at_work.charge(301).map(|_| ()), Err(Full));
    assert!(!claimant.is_closing() && !idle.is_closing());
    work.set_phase(Phase::Partial);
    let _charge = claimant.charge(350);
    assert!(at_work.is_closing() && !idle.is_closing());
}

#[tokio::test(start_paused = true)]
async fn large_bodies_wait_for_those_of_their_address_that_need_no_more() {
    let ledger = ledger(1000, 8 << 20);
    let mib = 1 << 20;
    let (first, second, other) = (
        open(&ledger, 1, Merit::Proven).await,
        open(&ledger, 1, Merit::Proven).await,
        open(&ledger, 2, Merit::Proven).await,
    );
    let mut context = Context::from_waker(Waker::noop());
    let mut body = first.charge(5 * mib).unwrap();
    let mut next = second.charge(0).unwrap();
    body.set_phase(Phase::Whole);
    let mut waits = Box::pin(next.grow_in_turn(2 * mib, Purpose::Body));
    assert!(waits.as_mut().poll(&mut context).is_pending());
    // A part stays free for answers.
    body.grow_in_turn(2 * mib, Purpose::Work).await.unwrap();
    // A charge that needs no more does not wait, whatever others hold.
    body.grow_in_turn(0, Purpose::Body).await.unwrap();
    body.set_phase(Phase::AtWork);
    assert!(waits.as_mut().poll(&mut context).is_pending());
    body.resize(mib).unwrap();
    body.set_phase(Phase::Partial);
    assert!(waits.as_mut().poll(&mut context).is_ready());
    drop(waits);
    // Another address does not wait for the one that holds the most, unless that one can release nothing.
    next.set_phase(Phase::Whole);
    body.grow(2 * mib).unwrap();
    let mut others = other.charge(0).unwrap();
    others.grow_in_turn(600 << 10, Purpose::Body).await.unwrap();
    assert!(first.is_closing() && !second.is_closing() && !other.is_closing());
    drop((body, next, others));
    assert_eq!(ledger.usage().request_bytes, 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Open(u8),
    Close(usize),
    Charge(usize, usize),
    Release(usize),
    Answered(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..4u8).prop_map(Step::Open),
        any::<usize>().prop_map(Step::Close),
        (any::<usize>(), 1..400usize).prop_map(|(index, bytes)| Step::Charge(index, bytes)),
        any::<usize>().prop_map(Step::Release),
        any::<usize>().prop_map(Step::Answered),
        (1..5000u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// In any order of events, limits hold and connections that must close get no more memory. An address below its share is not
    /// rejected. All memory is released in the end.
    #[test]
    fn bounds_hold_and_shares_are_kept(steps in proptest::collection::vec(step(), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let ledger = ledger(16, 1000);
            let mut open_ones: Vec<(Arc<Account>, Vec<Charge>)> = Vec::new();
            for step in steps {
                // Connections close at once when they must, and release all they hold.
                open_ones.retain(|(account, _)| !account.is_closing());
                let count = open_ones.len().max(1);
                match step {
                    Step::Open(address) => open_ones.push((open(&ledger, address, Merit::Unproven).await, Vec::new())),
                    Step::Wait(millis) => tokio::time::advance(Duration::from_millis(millis)).await,
                    _ if open_ones.is_empty() => {}
                    Step::Close(index) => drop(open_ones.swap_remove(index % count)),
                    Step::Release(index) => drop(open_ones[index % count].1.pop()),
                    Step::Answered(index) => open_ones[index % count].0.answered(),
                    Step::Charge(index, bytes) => {
                        let (account, _) = &open_ones[index % count];
                        let of_address: usize = open_ones
                            .iter()
                            .filter(|(other, _)| other.address() == account.address())
                            .flat_map(|(_, charges)| charges.iter().map(Charge::bytes))
                            .sum();
                        let total = ledger.usage().request_bytes + bytes;
                        let charge = account.charge(bytes);
                        // With three addresses at most, each one's share is a third.
                        prop_assert!(charge.is_ok() || of_address + bytes > 333 || total > 1125);
                        open_ones[index % count].1.extend(charge);
                    }
                }
                let usage = ledger.usage();
                prop_assert!(usage.connection_bytes <= 18 && usage.request_bytes <= 1125, "{:?}", usage);
                let held: usize =
                    open_ones.iter().flat_map(|(_, charges)| charges.iter().map(Charge::bytes)).sum();
                prop_assert_eq!(usage.request_bytes, held);
            }
            drop(open_ones);
            prop_assert_eq!(ledger.usage(), Usage { connections: 0, connection_bytes: 0, request_bytes: 0 });
            Ok(())
        })?;
    }
}
