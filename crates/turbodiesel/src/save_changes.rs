//! `save_changes` on everything that is a connection here.

use diesel::{
    AsChangeset, QueryResult, Table,
    associations::{HasTable, Identifiable},
    dsl::{Find, Update},
    query_builder::{AsQuery, IntoUpdateTarget, UpdateStatement},
    query_dsl::methods::FindDsl,
};
use diesel_async::{RunQueryDsl, UpdateAndFetchResults, methods::LoadQuery};
use futures_core::future::BoxFuture;

use crate::{backend::Backend, connection::Connection, db::Db, handle::Handle};

macro_rules! update_and_fetch {
    ($connection:ty) => {
        impl<'b, Changes, Output, Tab, V, B: Backend> UpdateAndFetchResults<Changes, Output>
            for $connection
        where
            Output: Send + 'static,
            Changes: Copy + AsChangeset<Target = Tab> + Send + Identifiable<Table = Tab>,
            Tab: Table + FindDsl<Changes::Id> + 'b,
            Find<Tab, Changes::Id>: IntoUpdateTarget<Table = Tab, WhereClause = V>,
            UpdateStatement<Tab, V, Changes::Changeset>: AsQuery,
            Update<Changes, Changes>: LoadQuery<'b, Self, Output>,
            V: Send + 'b,
            Changes::Changeset: Send + 'b,
            Tab::FromClause: Send,
            Changes: HasTable,
        {
            fn update_and_fetch<'conn, 'changes>(
                &'conn mut self,
                changeset: Changes,
            ) -> BoxFuture<'changes, QueryResult<Output>>
            where
                Changes: 'changes,
                Changes::Changeset: 'changes,
                'conn: 'changes,
                Self: 'changes,
            {
                Box::pin(
                    async move { diesel::update(changeset).set(changeset).get_result(self).await },
                )
            }
        }
    };
}

update_and_fetch!(Connection<B>);
update_and_fetch!(Handle<B>);
update_and_fetch!(&Db<B>);
