//! The controllers rdma and misc, of which the guest has no devices: nothing is used, and nothing can be limited.

use abi::Errno;

use super::super::file::{Def, Kind, def};

pub fn rdma() -> Vec<Def> {
    vec![def("rdma.current", Kind::Fixed("")), def("rdma.max", nothing())]
}

pub fn misc() -> Vec<Def> {
    vec![
        def("misc.current", Kind::Fixed("")),
        def("misc.events", Kind::Fixed("")),
        def("misc.max", nothing()),
    ]
}

fn nothing() -> Kind {
    Kind::Change(|_| Ok(String::new()), |_, _| Err(Errno::EINVAL))
}
