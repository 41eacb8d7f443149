//! Routes at the gateway: made when Traefik's definitions are there, whenever that is, and never two of one host and path.

use goodgo_api::GoodGoService;
use goodgo_api::conditions::ConditionType;
use goodgo_api::status::PartState;
use goodgo_e2e::definitions;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::harness::{World, eventually};

fn gateway(path: &str) -> Value {
    json!({"gateway": {
        "hosts": ["api.goodgo.example"], "tls": {"secret": "api-tls"},
        "routes": [{"name": "all", "path": path, "auth": {"none": {}}, "rateLimit": {"average": 9}}],
    }})
}

fn children(world: &World, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("traefik.io", "v1alpha1", kind));
    Api::namespaced_with(world.client.clone(), namespace, &kind)
}

async fn until_there(api: &Api<DynamicObject>, name: &str) -> DynamicObject {
    eventually(name, || async {
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        found.ok_or_else(|| "not there".to_owned())
    })
    .await
}

/// One scenario after the other: a definition is there for all services of the cluster.
pub async fn routes_wait_for_the_gateway_and_are_held_by_one(world: World) {
    let (first, second) = ("routes", "rivals");
    world.namespace(first);
    world.namespace(second);
    world.service(first, "a", &gateway("/users"));
    let waits =
        world.until_condition(first, "a", ConditionType::RoutesReady, "False", "GatewayMissing").await;
    assert!(waits.message.contains("IngressRoute"), "{}", waits.message);
    world.pods_are_ready(first, "a").await;
    world.until_condition(first, "a", ConditionType::Ready, "False", "GatewayMissing").await;

    // Somebody installs Traefik: no restart, no edit.
    let traefik = definitions::TRAEFIK.yaml().unwrap();
    world.apply_text(&traefik);
    world.until_condition(first, "a", ConditionType::RoutesReady, "True", "Routed").await;
    world.until_condition(first, "a", ConditionType::Ready, "True", "Ready").await;
    let routes = until_there(&children(&world, "IngressRoute", first), "a--routes").await;
    assert_eq!(routes.data["spec"]["routes"][0]["services"][0]["port"], "gateway");
    let status = world.get::<GoodGoService>(first, "a").await.unwrap().status.unwrap();
    assert_eq!(status.url.as_deref(), Some("https://api.goodgo.example"));
    assert_eq!(status.routes[0].claims, ["api.goodgo.example/users"]);

    // What is deleted comes back, as any child does.
    let middlewares = children(&world, "Middleware", first);
    let name = routes.data["spec"]["routes"][0]["middlewares"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("a--all--rate-limit-"), "{name}");
    let before = until_there(&middlewares, name).await.metadata.uid;
    middlewares.delete(name, &DeleteParams::default()).await.unwrap();
    eventually("the limit is made again", || async {
        let found = middlewares.get_opt(name).await.map_err(|error| error.to_string())?;
        let uid = found.and_then(|found| found.metadata.uid);
        if uid.is_some() && uid != before { Ok(()) } else { Err(format!("{uid:?}")) }
    })
    .await;

    // A second service wants the same path: the first keeps it.
    world.service(second, "b", &gateway("/users"));
    let lost = world.until_condition(second, "b", ConditionType::RoutesReady, "False", "RouteConflict").await;
    assert!(lost.message.contains("api.goodgo.example/users is held by routes/a"), "{}", lost.message);
    let status = world.get::<GoodGoService>(second, "b").await.unwrap().status.unwrap();
    assert_eq!((status.routes[0].state, status.routes[0].claims.len()), (PartState::Failed, 0));
    assert!(
        children(&world, "IngressRoute", second).list(&Default::default()).await.unwrap().items.is_empty()
    );
    world.until_condition(first, "a", ConditionType::RoutesReady, "True", "Routed").await;

    // It moves away, and the other has it.
    world.service(first, "a", &gateway("/people"));
    world.until_condition(second, "b", ConditionType::RoutesReady, "True", "Routed").await;
    until_there(&children(&world, "IngressRoute", second), "b--routes").await;

    // A section that goes takes its children with it.
    world.service(second, "b", &json!({}));
    eventually("the rival's routes are gone", || async {
        let left = children(&world, "IngressRoute", second).list(&Default::default()).await;
        let left = left.map_err(|error| error.to_string())?.items.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;

    // The definition goes, and is missed.
    world.kubectl(&["delete", "crd", "ingressroutes.traefik.io"]);
    world.until_condition(first, "a", ConditionType::RoutesReady, "False", "GatewayMissing").await;
    world.apply_text(&traefik);
    world.until_condition(first, "a", ConditionType::RoutesReady, "True", "Routed").await;
}
