//! The table `wasmill_offsets`: for each partition of a sink's topic the position up to which its
//! rows are in the database, written in the same transaction as they are.

use record::sink::SinkPartition;
use sqlx::Error;

use super::connection::Connection;
use super::dialect::Dialect;
use super::value::Value;

/// The table's name; no sink may write to it.
pub(super) const TABLE: &str = "wasmill_offsets";

const KEY_CONDITION: &str = "pipeline = ? AND sink = ? AND topic_id = ? AND topic_partition = ? AND incarnation = ?";

/// Names one row of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    key: [Value<'static>; 5],
    topic: Value<'static>,
}

impl Row {
    pub(super) fn new(pipeline: &str, sink: &str, incarnation: &str, partition: &SinkPartition) -> Self {
        let text = |text: &str| Value::Text(text.to_owned().into());
        Self {
            key: [
                text(pipeline),
                text(sink),
                text(&partition.topic_id),
                Value::Integer(partition.at.partition.into()),
                text(incarnation),
            ],
            topic: text(&partition.at.topic),
        }
    }
}

/// What the row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next offset; none before the first batch.
    pub(super) next: Option<i64>,
    /// Goes up with every `open`: an older number has been taken over.
    pub(super) epoch: i64,
}

/// Makes the table when it is missing. Looked for first: the right to create is needed once only.
pub(super) async fn create_table(connection: &mut Connection) -> Result<(), Error> {
    let dialect = connection.dialect();
    let found = match dialect {
        Dialect::MySql => {
            let sql =
                "SELECT 'found' FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
            connection.fetch(sql, &[Value::Text(TABLE.into())]).await?
        }
        Dialect::Sqlite => Vec::new(),
    };
    if !found.is_empty() {
        return Ok(());
    }
    let options = match &connection.key_collation {
        Some(collation) => format!(" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={collation}"),
        None => String::new(),
    };
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (\
         pipeline VARCHAR(200) NOT NULL, \
         sink VARCHAR(200) NOT NULL, \
         topic_id VARCHAR(100) NOT NULL, \
         topic_partition BIGINT NOT NULL, \
         incarnation VARCHAR(100) NOT NULL, \
         topic VARCHAR(255) NOT NULL, \
         next_offset BIGINT NULL, \
         epoch BIGINT NOT NULL, \
         updated_at DATETIME NOT NULL, \
         PRIMARY KEY (pipeline, sink, topic_id, topic_partition, incarnation)){options}"
    );
    connection.run(&sql).await
}

/// Raises the epoch, inside a transaction of the caller. A transaction of an older writer that is
/// still open holds the row's lock: this waits for it, and then sees what it did.
pub(super) async fn take_over(connection: &mut Connection, row: &Row) -> Result<Position, Error> {
    let dialect = connection.dialect();
    let conflict = match dialect {
        Dialect::MySql => "ON DUPLICATE KEY UPDATE",
        Dialect::Sqlite => "ON CONFLICT (pipeline, sink, topic_id, topic_partition, incarnation) DO UPDATE SET",
    };
    let sql = format!(
        "INSERT INTO {TABLE} \
         (pipeline, sink, topic_id, topic_partition, incarnation, topic, next_offset, epoch, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, NULL, 1, CURRENT_TIMESTAMP) \
         {conflict} epoch = {TABLE}.epoch + 1, updated_at = CURRENT_TIMESTAMP"
    );
    connection
        .execute(sql, row.key.iter().chain([&row.topic]).collect(), true)
        .await?;
    let text = dialect.text();
    let sql = format!(
        "SELECT CAST(next_offset AS {text}), CAST(epoch AS {text}) FROM {TABLE} WHERE {KEY_CONDITION}{}",
        dialect.for_update()
    );
    let mut rows = connection.fetch(&sql, &row.key).await?.into_iter();
    let number = |cell: Option<&Option<String>>| cell.and_then(Option::as_deref).and_then(|text| text.parse().ok());
    let cells = rows.next().ok_or(Error::RowNotFound)?;
    Ok(Position {
        next: number(cells.first()),
        epoch: number(cells.get(1)).ok_or(Error::RowNotFound)?,
    })
}

/// Writes the position, inside the transaction of the rows. `false`: the epoch is no longer ours.
/// Comes first in the transaction, so that its lock keeps out a new owner until the end.
pub(super) async fn advance(connection: &mut Connection, row: &Row, epoch: i64, next: i64) -> Result<bool, Error> {
    let sql = format!(
        "UPDATE {TABLE} SET next_offset = ?, updated_at = CURRENT_TIMESTAMP WHERE {KEY_CONDITION} AND epoch = ?"
    );
    let next = Value::Integer(next);
    let epoch = Value::Integer(epoch);
    let values = std::iter::once(&next).chain(&row.key).chain([&epoch]).collect();
    Ok(connection.execute(sql, values, true).await? > 0)
}
