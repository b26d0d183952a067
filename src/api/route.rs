//! One route: its methods, each with what it needs of the caller. There is no other way to make one, so none is without a rule.

use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use http::Method;

use super::guard::Needs;
use super::inbound::Door;
use super::state::ApiState;

/// A path and what can be done there.
pub struct Route {
    pub(super) template: &'static str,
    pub(super) methods: Methods,
    pub(super) door: Door,
}

/// A route that is refused while the server is too busy, and to those who call it by another's name.
pub fn route(template: &'static str, methods: Methods) -> Route {
    Route {
        template,
        methods,
        door: Door::Guarded,
    }
}

/// A route that is answered however busy the server is.
pub fn always(template: &'static str, methods: Methods) -> Route {
    Route {
        template,
        methods,
        door: Door::Uncapped,
    }
}

/// A route that is answered however busy the server is, under whatever name: probes call it by the address of the moment.
pub fn probe(template: &'static str, methods: Methods) -> Route {
    Route {
        template,
        methods,
        door: Door::Open,
    }
}

/// Handlers, each with its method and its rule.
pub struct Methods {
    pub(super) router: MethodRouter<ApiState>,
    pub(super) rules: Rules,
}

impl Methods {
    /// These and more of the same path.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rules.0.extend(other.rules.0);
        Self {
            router: self.router.merge(other.router),
            rules: self.rules,
        }
    }

    fn one(method: Method, needs: Needs, router: MethodRouter<ApiState>) -> Self {
        Self {
            router,
            rules: Rules(vec![(method, needs)]),
        }
    }
}

/// What each method of a path needs of the caller.
#[derive(Debug, Clone)]
pub struct Rules(Vec<(Method, Needs)>);

impl Rules {
    /// What a method needs; `None` where the path has no such method.
    pub fn of(&self, method: &Method) -> Option<Needs> {
        // HEAD is GET without the body, and what it tells is the same.
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        (self.0.iter())
            .find(|(known, _)| known == method)
            .map(|(_, needs)| *needs)
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $method:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name<H, T>(needs: Needs, handler: H) -> Methods
        where
            H: Handler<T, ApiState>,
            T: 'static,
        {
            Methods::one(Method::$method, needs, routing::$name(handler))
        }
    )*};
}

methods! {
    /// A reading method; HEAD comes with it.
    get GET;
    /// A method that adds or asks for something.
    post POST;
    /// A method that replaces something.
    put PUT;
    /// A method that changes something.
    patch PATCH;
    /// A method that takes something away.
    delete DELETE;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    #[test]
    fn each_method_has_its_own_rule_and_head_that_of_get() {
        let read = Needs::Scope(Scope::ClustersRead);
        let write = Needs::Scope(Scope::ClustersWrite);
        let methods = get(read, async || ()).and(post(write, async || ()));
        assert_eq!(methods.rules.of(&Method::GET), Some(read));
        assert_eq!(methods.rules.of(&Method::HEAD), Some(read));
        assert_eq!(methods.rules.of(&Method::POST), Some(write));
        assert_eq!(methods.rules.of(&Method::DELETE), None);
    }
}
