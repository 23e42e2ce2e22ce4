//! Turns the table into data (`ROWS`) and into two functions that call the handlers.

/// See `table.rs` for the form of a row.
macro_rules! table {
    (
        run: $($n:literal $name:ident $kind:ident $module:ident :: $f:ident ( $($arg:ident),* ) $status:ident $note:literal;)*
        refused: $($rn:literal $rname:ident $errno:ident $why:literal;)*
    ) => {
        /// Every row, those that run first, each part in the order of the numbers.
        pub static ROWS: &[super::Row] = &[
            $(super::Row {
                nr: $n,
                name: stringify!($name),
                status: super::Status::$status,
                errno: None,
                note: $note,
                args: &[$(stringify!($arg)),*],
            },)*
            $(super::Row {
                nr: $rn,
                name: stringify!($rname),
                status: super::Status::refused,
                errno: Some(abi::Errno::$errno),
                note: $why,
                args: &[],
            },)*
        ];

        /// Serves a call that never waits; none if it is one that may, see [`serve_waiting`].
        #[allow(unused_mut, unused_variables, reason = "some calls take no argument")]
        pub(super) fn serve_now(cx: &mut crate::task::Cx, nr: u32, args: [u64; 6]) -> Option<abi::SysResult<u64>> {
            let mut args = super::args::Args::new(args);
            Some(match nr {
                $($n => super::table_macro::now!($kind cx args $module::$f($($arg),*)),)*
                $($rn => Err(abi::Errno::$errno.into()),)*
                _ => Err(abi::Errno::ENOSYS.into()),
            })
        }

        /// Serves a call that may wait.
        #[allow(unused_mut, unused_variables, reason = "some calls take no argument")]
        pub(super) async fn serve_waiting(cx: &mut crate::task::Cx, nr: u32, args: [u64; 6]) -> abi::SysResult<u64> {
            let mut args = super::args::Args::new(args);
            match nr {
                $($n => super::table_macro::waiting!($kind cx args $module::$f($($arg),*)),)*
                _ => Err(abi::Errno::ENOSYS.into()),
            }
        }
    };
}

macro_rules! now {
    (now $cx:ident $args:ident $module:ident :: $f:ident ( $($arg:ident),* )) => {
        $module::$f($cx $(, { let $arg = $args.next(); $arg })*)
    };
    (wait $($rest:tt)*) => {
        return None
    };
}

macro_rules! waiting {
    (wait $cx:ident $args:ident $module:ident :: $f:ident ( $($arg:ident),* )) => {
        $module::$f($cx $(, { let $arg = $args.next(); $arg })*).await
    };
    (now $($rest:tt)*) => {
        Err(abi::Errno::ENOSYS.into())
    };
}

pub(super) use {now, table, waiting};
