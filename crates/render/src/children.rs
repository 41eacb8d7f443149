//! The result of rendering: one field per kind, so that a kind can't be forgotten, and one order to apply them in.

use crate::error::RenderError;
use crate::traefik::{
    CERT_MANAGER, CERT_MANAGER_VERSION, Certificate, IngressRoute, Middleware, ServersTransport, TRAEFIK,
    TRAEFIK_VERSION, TraefikService,
};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde_json::Value;

/// Everything that one service consists of. `None`: there must be none, and one that is there goes away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Children {
    /// Identity of the pods; none when the service names an existing one.
    pub service_account: Option<ServiceAccount>,
    /// Who may connect to the pods and whom they may connect to.
    pub network_policy: Option<NetworkPolicy>,
    /// The runtime's hot configuration; none with the runtime off.
    pub config_map: Option<ConfigMap>,
    /// The address of the service.
    pub service: Option<Service>,
    /// Where the gateway finds its pods.
    pub gateway_service: Option<Service>,
    /// Whether what comes through the gateway is decided in the pods: then [`Children::gateway_service`] goes before the
    /// routes, and else after them.
    pub in_pod: bool,
    /// The addresses of its pods.
    pub headless_service: Option<Service>,
    /// What must succeed before pods of the new template start: the Deployment is applied only after it.
    pub migration_job: Option<Job>,
    /// The pods.
    pub deployment: Option<Deployment>,
    /// Automatic scaling.
    pub horizontal_pod_autoscaler: Option<HorizontalPodAutoscaler>,
    /// How many pods a voluntary disruption may take.
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    /// The version that gets a share of the gateway's requests.
    pub canary: Option<Canary>,
    /// The certificate of its hosts, where cert-manager makes it.
    pub certificate: Option<Certificate>,
    /// Steps that Traefik takes with requests of its routes.
    pub middlewares: Vec<Middleware>,
    /// How Traefik connects to its pods.
    pub servers_transports: Vec<ServersTransport>,
    /// How Traefik shares requests out between the service and its canary.
    pub traefik_services: Vec<TraefikService>,
    /// What Traefik routes to it.
    pub ingress_routes: Vec<IngressRoute>,
    /// Pods to begin with where an autoscaler owns the number: written once, by the second field manager
    /// ([`goodgo_api::INITIAL_REPLICAS_MANAGER`]), at creation and when scaling is switched on. `None`: the Deployment
    /// carries `replicas` itself.
    pub initial_replicas: Option<i32>,
    /// Its address from outside: the main host with its scheme; none without a gateway.
    pub url: Option<String>,
    /// Revision of the runtime's configuration in [`Children::config_map`].
    pub config_revision: Option<String>,
}

/// The children that a canary has for itself; identity, policy and configuration are the service's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Canary {
    /// Where the gateway finds its pods.
    pub gateway_service: Option<Service>,
    /// Its pods.
    pub deployment: Option<Deployment>,
    /// Automatic scaling, where the service has it.
    pub horizontal_pod_autoscaler: Option<HorizontalPodAutoscaler>,
    /// As [`Children::initial_replicas`].
    pub initial_replicas: Option<i32>,
}

/// Kind of a child, in the order in which children are applied: who is needed comes before who needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are Kubernetes'")]
pub enum ChildKind {
    ServiceAccount,
    NetworkPolicy,
    ConfigMap,
    Service,
    Job,
    Deployment,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    Certificate,
    Middleware,
    ServersTransport,
    TraefikService,
    IngressRoute,
}

impl ChildKind {
    /// Every kind, in the order in which children are applied.
    pub const ALL: [Self; 13] = [
        Self::ServiceAccount,
        Self::NetworkPolicy,
        Self::ConfigMap,
        Self::Service,
        Self::Job,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::Certificate,
        Self::Middleware,
        Self::ServersTransport,
        Self::TraefikService,
        Self::IngressRoute,
    ];

    /// Whether Kubernetes itself serves it: others are there only once somebody has installed their definition.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        !matches!(
            self,
            Self::Certificate
                | Self::Middleware
                | Self::ServersTransport
                | Self::TraefikService
                | Self::IngressRoute
        )
    }

    /// `kind` of the objects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => ServiceAccount::KIND,
            Self::NetworkPolicy => NetworkPolicy::KIND,
            Self::ConfigMap => ConfigMap::KIND,
            Self::Service => Service::KIND,
            Self::Job => Job::KIND,
            Self::Deployment => Deployment::KIND,
            Self::HorizontalPodAutoscaler => HorizontalPodAutoscaler::KIND,
            Self::PodDisruptionBudget => PodDisruptionBudget::KIND,
            Self::Certificate => "Certificate",
            Self::Middleware => "Middleware",
            Self::ServersTransport => "ServersTransport",
            Self::TraefikService => "TraefikService",
            Self::IngressRoute => "IngressRoute",
        }
    }

    /// API group of the objects; empty for the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::ServiceAccount => ServiceAccount::GROUP,
            Self::NetworkPolicy => NetworkPolicy::GROUP,
            Self::ConfigMap => ConfigMap::GROUP,
            Self::Service => Service::GROUP,
            Self::Job => Job::GROUP,
            Self::Deployment => Deployment::GROUP,
            Self::HorizontalPodAutoscaler => HorizontalPodAutoscaler::GROUP,
            Self::PodDisruptionBudget => PodDisruptionBudget::GROUP,
            Self::Certificate => CERT_MANAGER,
            Self::Middleware | Self::ServersTransport | Self::TraefikService | Self::IngressRoute => TRAEFIK,
        }
    }

    /// API version of the objects, without the group.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::ServiceAccount => ServiceAccount::VERSION,
            Self::NetworkPolicy => NetworkPolicy::VERSION,
            Self::ConfigMap => ConfigMap::VERSION,
            Self::Service => Service::VERSION,
            Self::Job => Job::VERSION,
            Self::Deployment => Deployment::VERSION,
            Self::HorizontalPodAutoscaler => HorizontalPodAutoscaler::VERSION,
            Self::PodDisruptionBudget => PodDisruptionBudget::VERSION,
            Self::Certificate => CERT_MANAGER_VERSION,
            Self::Middleware | Self::ServersTransport | Self::TraefikService | Self::IngressRoute => {
                TRAEFIK_VERSION
            }
        }
    }

    /// Resource name in URLs and RBAC.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ServiceAccount => ServiceAccount::URL_PATH_SEGMENT,
            Self::NetworkPolicy => NetworkPolicy::URL_PATH_SEGMENT,
            Self::ConfigMap => ConfigMap::URL_PATH_SEGMENT,
            Self::Service => Service::URL_PATH_SEGMENT,
            Self::Job => Job::URL_PATH_SEGMENT,
            Self::Deployment => Deployment::URL_PATH_SEGMENT,
            Self::HorizontalPodAutoscaler => HorizontalPodAutoscaler::URL_PATH_SEGMENT,
            Self::PodDisruptionBudget => PodDisruptionBudget::URL_PATH_SEGMENT,
            Self::Certificate => "certificates",
            Self::Middleware => "middlewares",
            Self::ServersTransport => "serverstransports",
            Self::TraefikService => "traefikservices",
            Self::IngressRoute => "ingressroutes",
        }
    }
}

/// One child as it is sent: `apiVersion`, `kind`, `metadata` and all that the operator owns of it, nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// The whole object.
    pub object: Value,
}

impl Children {
    /// Name of the Job that must succeed before the Deployment is applied; `None`: nothing to wait for.
    #[must_use]
    pub fn deployment_waits_for(&self) -> Option<&str> {
        self.migration_job.as_ref()?.metadata.name.as_deref()
    }

    /// All children in the order in which they are applied.
    ///
    /// # Errors
    /// [`RenderError::Encode`] when an object can't be written as JSON.
    pub fn objects(&self) -> Result<Vec<Child>, RenderError> {
        // Destructured whole: a new kind can't be forgotten here.
        let Self {
            service_account,
            network_policy,
            config_map,
            service,
            headless_service,
            gateway_service,
            in_pod: _,
            migration_job,
            deployment,
            horizontal_pod_autoscaler,
            pod_disruption_budget,
            canary,
            certificate,
            middlewares,
            servers_transports,
            traefik_services,
            ingress_routes,
            initial_replicas: _,
            url: _,
            config_revision: _,
        } = self;
        let canary = canary.clone().unwrap_or_default();
        let mut objects = vec![
            child(ChildKind::ServiceAccount, service_account.as_ref())?,
            child(ChildKind::NetworkPolicy, network_policy.as_ref())?,
            child(ChildKind::ConfigMap, config_map.as_ref())?,
            child(ChildKind::Service, service.as_ref())?,
            child(ChildKind::Service, headless_service.as_ref())?,
            child(ChildKind::Service, gateway_service.as_ref())?,
            child(ChildKind::Service, canary.gateway_service.as_ref())?,
            child(ChildKind::Job, migration_job.as_ref())?,
            child(ChildKind::Deployment, deployment.as_ref())?,
            child(ChildKind::Deployment, canary.deployment.as_ref())?,
            child(ChildKind::HorizontalPodAutoscaler, horizontal_pod_autoscaler.as_ref())?,
            child(ChildKind::HorizontalPodAutoscaler, canary.horizontal_pod_autoscaler.as_ref())?,
            child(ChildKind::PodDisruptionBudget, pod_disruption_budget.as_ref())?,
            child(ChildKind::Certificate, certificate.as_ref())?,
        ];
        for middleware in middlewares {
            objects.push(child(ChildKind::Middleware, Some(middleware))?);
        }
        for transport in servers_transports {
            objects.push(child(ChildKind::ServersTransport, Some(transport))?);
        }
        for shares in traefik_services {
            objects.push(child(ChildKind::TraefikService, Some(shares))?);
        }
        for routes in ingress_routes {
            objects.push(child(ChildKind::IngressRoute, Some(routes))?);
        }
        Ok(objects.into_iter().flatten().collect())
    }
}

fn child<K: Serialize>(kind: ChildKind, object: Option<&K>) -> Result<Option<Child>, RenderError> {
    let Some(object) = object else { return Ok(None) };
    let object = serde_json::to_value(object).map_err(RenderError::Encode)?;
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some(Child { kind, name, object }))
}
