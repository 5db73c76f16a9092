"""The tables of the router on SQLite, all under its prefix, for services share the file.

Each statement can run again; a change is a new statement at the end. Columns beside `doc` are copies for filters and indexes; the
document is what counts.
"""

__all__ = ["STATEMENTS"]

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS router_contacts (contact_id TEXT PRIMARY KEY, version INTEGER NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS router_edges (link_id TEXT PRIMARY KEY, one TEXT NOT NULL, other TEXT NOT NULL,"
    " version INTEGER NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS router_edges_one ON router_edges (one)",
    "CREATE INDEX IF NOT EXISTS router_edges_other ON router_edges (other)",
    "CREATE TABLE IF NOT EXISTS router_outbox (collection TEXT NOT NULL, owner TEXT NOT NULL, number INTEGER NOT NULL,"
    " put_at TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (collection, owner, number)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS router_strands (strand_id TEXT PRIMARY KEY, owner TEXT NOT NULL, status TEXT NOT NULL, joins TEXT,"
    " version INTEGER NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS router_strands_owner ON router_strands (owner, status)",
    "CREATE INDEX IF NOT EXISTS router_strands_joins ON router_strands (joins) WHERE joins IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS router_summaries (conversation_id TEXT PRIMARY KEY, brand TEXT NOT NULL, status TEXT NOT NULL,"
    " joined TEXT, snoozed_until TEXT, active_at TEXT NOT NULL, channels TEXT NOT NULL, version INTEGER NOT NULL, doc TEXT NOT NULL)"
    " WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS router_summaries_active ON router_summaries (active_at DESC, conversation_id DESC) WHERE joined IS NULL",
    "CREATE INDEX IF NOT EXISTS router_summaries_snoozed ON router_summaries (snoozed_until) WHERE snoozed_until IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS router_entries (message_id TEXT PRIMARY KEY, brand TEXT NOT NULL, filed INTEGER NOT NULL,"
    " shown INTEGER NOT NULL, party TEXT NOT NULL, party_identity TEXT NOT NULL, strand_id TEXT, direction TEXT NOT NULL,"
    " account_id TEXT, received_at TEXT, occurred_at TEXT, ord TEXT, made_intake TEXT, made_index INTEGER, answerable_until TEXT,"
    " rank INTEGER, version INTEGER NOT NULL, doc TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS router_entries_strand ON router_entries (strand_id, occurred_at, ord, message_id)"
    " WHERE filed = 1 AND shown = 1",
    "CREATE INDEX IF NOT EXISTS router_entries_party ON router_entries (party, occurred_at, ord, message_id) WHERE filed = 1 AND shown = 1",
    "CREATE INDEX IF NOT EXISTS router_entries_made ON router_entries (made_intake, made_index) WHERE made_intake IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS router_entries_answerable ON router_entries (strand_id, received_at, answerable_until)"
    " WHERE answerable_until IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS router_entries_brand ON router_entries (brand) WHERE filed = 1 AND shown = 1",
    "CREATE INDEX IF NOT EXISTS router_entries_sent ON router_entries (received_at) WHERE direction = 'outbound'",
    "CREATE TABLE IF NOT EXISTS router_entry_names (name TEXT NOT NULL, role INTEGER NOT NULL, message_id TEXT NOT NULL,"
    " PRIMARY KEY (name, role, message_id)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS router_entry_attachments (sha256 TEXT NOT NULL, message_id TEXT NOT NULL, brand TEXT NOT NULL,"
    " PRIMARY KEY (sha256, message_id)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS router_suggestions (link_id TEXT PRIMARY KEY, brand TEXT NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS router_outcomes (intake_id TEXT NOT NULL, intake_index INTEGER NOT NULL, event_id TEXT NOT NULL,"
    " account_id TEXT NOT NULL, channel TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT, at TEXT NOT NULL,"
    " PRIMARY KEY (intake_id, intake_index)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS router_outcomes_event ON router_outcomes (event_id)",
    "CREATE TABLE IF NOT EXISTS router_waiting (target TEXT NOT NULL, event_id TEXT NOT NULL, intake_id TEXT NOT NULL,"
    " intake_index INTEGER NOT NULL, kind TEXT NOT NULL, account_id TEXT NOT NULL, channel TEXT NOT NULL,"
    " since TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (target, event_id, intake_id, intake_index)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS router_waiting_since ON router_waiting (since)",
    "CREATE TABLE IF NOT EXISTS router_desk_references (desk_id TEXT NOT NULL, reference TEXT NOT NULL, conversation_id TEXT NOT NULL,"
    " PRIMARY KEY (desk_id, reference)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS router_journal (intake_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, channel TEXT NOT NULL,"
    " brand TEXT NOT NULL, received_at TEXT NOT NULL, event_count INTEGER NOT NULL, origin TEXT NOT NULL, media_type TEXT NOT NULL,"
    " blob TEXT, size INTEGER NOT NULL, outcome TEXT, reason TEXT) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS router_journal_received ON router_journal (received_at, intake_id)",
    "CREATE TABLE IF NOT EXISTS router_payloads (intake_id TEXT PRIMARY KEY, raw BLOB NOT NULL)",
)
