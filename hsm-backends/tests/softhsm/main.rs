//! The store over an HSM passes the suite that every store passes, over a real SoftHSM: once with every key sealed under
//! the HSM's, once with keys in the HSM where it has the mechanism.

mod fixture;

use fixture::SoftHsm;

mod sealing {
    hsm_backends::conformance_tests!(crate::SoftHsm::sealing());
}

mod passing_through {
    hsm_backends::conformance_tests!(crate::SoftHsm::passing_through());
}
