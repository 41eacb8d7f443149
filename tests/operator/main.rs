//! The operator, as a process with exactly the rights of its own table, against a real API server.
//!
//! No nodes and no controllers run here: the tests play the Deployment controller where a status needs one. Scenarios have
//! a namespace each and run side by side; what concerns the process as a whole follows, one after another.
#![cfg(test)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod children;
mod conflicts;
mod fleet;
mod harness;
mod in_force;
mod process;
mod routes;
mod status;

use harness::{Operator, World};

type Scenario = fn(World) -> futures::future::BoxFuture<'static, ()>;

macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((stringify!($name), (|world| Box::pin($module::$name(world))) as Scenario)),*]
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_promises_on_a_real_api_server() {
    let world = World::start().await;
    let operator = Operator::start(&world, "first").await;

    let scenarios = scenarios![
        children::all_are_created_with_their_owner,
        children::what_is_deleted_edited_or_stripped_comes_back,
        children::a_removed_section_removes_its_child,
        children::replicas_belong_to_the_autoscaler,
        children::the_fields_of_others_are_left_alone,
        children::the_migrate_step_gates_the_workload,
        routes::routes_wait_for_the_gateway_and_are_held_by_one,
        conflicts::a_foreign_object_is_reported_and_untouched,
        conflicts::a_foreign_object_with_our_label_is_reported_and_untouched,
        conflicts::a_persistent_opponent_makes_it_slow_down,
        fleet::a_missing_callee_that_appears_turns_its_caller_good,
        in_force::pods_are_nudged_asked_and_reported,
        in_force::callers_are_known_by_tokens_of_the_clusters_issuer,
        status::ready_follows_the_workload,
        status::a_suspended_service_is_left_alone,
        status::what_cannot_be_carried_out_is_said,
        status::deletion_makes_nothing_anew,
    ];
    let running: Vec<_> =
        scenarios.map(|(name, scenario)| (name, tokio::spawn(scenario(world.clone())))).into_iter().collect();
    let mut failed = Vec::new();
    for (name, scenario) in running {
        if scenario.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?} failed; the operator said:\n{}", operator.last_log());

    process::nothing_is_requested_while_nothing_changes(&world).await;
    process::one_undecodable_service_does_not_stop_the_others(&world, &operator).await;
    process::a_changed_configuration_is_picked_up_and_a_bad_one_refused(&world, &operator).await;
    let operator = process::a_restart_writes_nothing(&world, operator).await;
    process::a_standby_takes_over_at_once(&world, operator).await;
}
