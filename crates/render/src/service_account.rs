//! The pods' identity. Off where the service names an existing ServiceAccount.

use crate::labels;
use crate::validate::ValidatedService;
use k8s_openapi::api::core::v1::ServiceAccount;

pub(crate) fn service_account(service: &ValidatedService) -> Option<ServiceAccount> {
    if service.spec().service_account_name.is_some() {
        return None;
    }
    Some(ServiceAccount {
        metadata: labels::metadata(service, &service.names().service_account),
        // Tokens are projected one per audience; none that opens the API server is mounted.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}
