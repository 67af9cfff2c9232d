"""The tables of a simulated world's file.

`host`, `pool`, `domain`, `plugged_nic`, `plugged_volume`, `volume`, `nic` are the world; `token`, `fence`, `fault`,
`late` its memory. Nothing refers to another table by a foreign key: a world may be inconsistent, and then one must
be able to see it.

The triggers keep what is used, so that a command costs the same in a full pool as in an empty one, and so
that no rule can forget to. A guest uses what it holds, and one that is powered off nothing. What is plugged
into a guest goes, and moves, with it.
"""

MARK = 0x494C5349
"""In the file's header (`application_id`): this is a simulated world, whatever its name says."""

FORMAT = 3
"""In the file's header (`user_version`). Rises when a table changes; files of another format are refused, for
a simulated world is cheap to build again."""

HOST = """
    CREATE TABLE host (
        id              TEXT PRIMARY KEY,
        cpu_mhz         INTEGER NOT NULL,            -- physical: overcommit is in what guests hold
        memory_mib      INTEGER NOT NULL,
        cpu_used_mhz    INTEGER NOT NULL DEFAULT 0,
        memory_used_mib INTEGER NOT NULL DEFAULT 0,
        epoch           INTEGER NOT NULL DEFAULT 1,  -- rises with each boot
        lost            TEXT                         -- how it does not answer: refuse or hang; null: it does
    ) WITHOUT ROWID
"""
POOL = """
    CREATE TABLE pool (
        id       TEXT PRIMARY KEY,
        size_mib INTEGER NOT NULL,                   -- with overcommit
        used_mib INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID
"""
DOMAIN = """
    CREATE TABLE domain (
        vm               TEXT,
        host             TEXT,
        name             TEXT NOT NULL,
        instance_name    TEXT NOT NULL,
        cpu_cores        INTEGER NOT NULL,
        cpu_mhz          INTEGER NOT NULL,
        memory_mib       INTEGER NOT NULL,
        cpu_held_mhz     INTEGER NOT NULL,
        memory_held_mib  INTEGER NOT NULL,
        iso              TEXT,
        user_data_sha256 TEXT,
        ssh_keys         BLOB NOT NULL,              -- JSON, as the next two
        details          BLOB NOT NULL,
        rules            BLOB NOT NULL,              -- null: nothing is filtered
        power            TEXT NOT NULL,
        boots            INTEGER NOT NULL,
        reason           TEXT NOT NULL DEFAULT '',   -- why it is off
        PRIMARY KEY (vm, host)                       -- no command makes two of one VM; the outside world may
    ) WITHOUT ROWID
"""
PLUGGED_NIC = """
    CREATE TABLE plugged_nic (
        vm         TEXT,
        host       TEXT,                             -- the guest's, as below
        nic        TEXT,
        device     INTEGER NOT NULL,
        is_default INTEGER NOT NULL,
        ip         TEXT NOT NULL,
        ip6        TEXT,
        mac        TEXT NOT NULL,
        PRIMARY KEY (vm, host, nic)
    ) WITHOUT ROWID
"""
PLUGGED_VOLUME = """
    CREATE TABLE plugged_volume (
        vm       TEXT,
        host     TEXT,
        volume   TEXT,
        pool     TEXT NOT NULL,
        device   INTEGER NOT NULL,
        size_mib INTEGER NOT NULL,                   -- that the guest was told
        PRIMARY KEY (vm, host, volume)               -- one volume in two guests: a fault that can be seen
    ) WITHOUT ROWID
"""
VOLUME = """
    CREATE TABLE volume (
        id       TEXT,
        pool     TEXT,
        vm       TEXT NOT NULL,
        size_mib INTEGER NOT NULL,
        template TEXT,
        clone    TEXT,
        partial  INTEGER NOT NULL DEFAULT 0,         -- the copy broke off in the middle: no disk yet
        PRIMARY KEY (id, pool)                       -- pools do not know of each other
    ) WITHOUT ROWID
"""
NIC = """
    CREATE TABLE nic (
        id   TEXT,
        host TEXT,
        vm   TEXT NOT NULL,
        ip   TEXT NOT NULL,
        ip6  TEXT,
        mac  TEXT NOT NULL,
        PRIMARY KEY (id, host)                       -- hosts do not know of each other
    ) WITHOUT ROWID
"""
DONE = """
    CREATE TABLE token (
        token   TEXT PRIMARY KEY,                    -- of an effect that is Done
        command TEXT NOT NULL,
        at      TEXT NOT NULL,
        subject TEXT NOT NULL
    ) WITHOUT ROWID
"""
FENCE = """
    CREATE TABLE fence (
        entity TEXT PRIMARY KEY,                     -- its machine and id
        fence  INTEGER NOT NULL                      -- the highest seen
    ) WITHOUT ROWID
"""
FAULT = """
    CREATE TABLE fault (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        kind       TEXT NOT NULL,
        command    TEXT NOT NULL,
        at         TEXT,
        vm         TEXT,
        subject    TEXT,
        seconds    REAL NOT NULL,
        times_left INTEGER NOT NULL,
        fired      INTEGER NOT NULL DEFAULT 0
    )
"""
FAULT_OPEN = "CREATE INDEX fault_open ON fault (id) WHERE times_left > 0"
LATE = """
    CREATE TABLE late (
        id      INTEGER PRIMARY KEY,
        due     REAL NOT NULL,
        token   TEXT NOT NULL,
        fence   INTEGER NOT NULL,
        command BLOB NOT NULL
    )
"""
LATE_DUE = "CREATE INDEX late_due ON late (due, id)"

DOMAIN_IN = """
    CREATE TRIGGER domain_in AFTER INSERT ON domain WHEN new.power != 'Off' BEGIN
        UPDATE host SET cpu_used_mhz = cpu_used_mhz + new.cpu_held_mhz,
            memory_used_mib = memory_used_mib + new.memory_held_mib WHERE id = new.host;
    END
"""
DOMAIN_OUT = """
    CREATE TRIGGER domain_out AFTER DELETE ON domain WHEN old.power != 'Off' BEGIN
        UPDATE host SET cpu_used_mhz = cpu_used_mhz - old.cpu_held_mhz,
            memory_used_mib = memory_used_mib - old.memory_held_mib WHERE id = old.host;
    END
"""
DOMAIN_GIVES = """
    CREATE TRIGGER domain_gives AFTER UPDATE OF host, power, cpu_held_mhz, memory_held_mib ON domain
    WHEN old.power != 'Off' BEGIN
        UPDATE host SET cpu_used_mhz = cpu_used_mhz - old.cpu_held_mhz,
            memory_used_mib = memory_used_mib - old.memory_held_mib WHERE id = old.host;
    END
"""
DOMAIN_TAKES = """
    CREATE TRIGGER domain_takes AFTER UPDATE OF host, power, cpu_held_mhz, memory_held_mib ON domain
    WHEN new.power != 'Off' BEGIN
        UPDATE host SET cpu_used_mhz = cpu_used_mhz + new.cpu_held_mhz,
            memory_used_mib = memory_used_mib + new.memory_held_mib WHERE id = new.host;
    END
"""
UNPLUGGED = """
    CREATE TRIGGER unplugged AFTER DELETE ON domain BEGIN
        DELETE FROM plugged_nic WHERE vm = old.vm AND host = old.host;
        DELETE FROM plugged_volume WHERE vm = old.vm AND host = old.host;
    END
"""
MOVED = """
    CREATE TRIGGER moved AFTER UPDATE OF host ON domain WHEN old.host != new.host BEGIN
        UPDATE plugged_nic SET host = new.host WHERE vm = old.vm AND host = old.host;
        UPDATE plugged_volume SET host = new.host WHERE vm = old.vm AND host = old.host;
    END
"""
VOLUME_IN = """
    CREATE TRIGGER volume_in AFTER INSERT ON volume BEGIN
        UPDATE pool SET used_mib = used_mib + new.size_mib WHERE id = new.pool;
    END
"""
VOLUME_OUT = """
    CREATE TRIGGER volume_out AFTER DELETE ON volume BEGIN
        UPDATE pool SET used_mib = used_mib - old.size_mib WHERE id = old.pool;
    END
"""
VOLUME_RESIZED = """
    CREATE TRIGGER volume_resized AFTER UPDATE OF size_mib ON volume BEGIN
        UPDATE pool SET used_mib = used_mib - old.size_mib + new.size_mib WHERE id = new.pool;
    END
"""

WORLD = (HOST, POOL, DOMAIN, PLUGGED_NIC, PLUGGED_VOLUME, VOLUME, NIC)
MEMORY = (DONE, FENCE, FAULT, FAULT_OPEN, LATE, LATE_DUE)
GUESTS = (DOMAIN_IN, DOMAIN_OUT, DOMAIN_GIVES, DOMAIN_TAKES, UNPLUGGED, MOVED)
VOLUMES = (VOLUME_IN, VOLUME_OUT, VOLUME_RESIZED)
HEADERS = ("application_id", "user_version")
BUILD = (*WORLD, *MEMORY, *GUESTS, *VOLUMES, f"PRAGMA application_id = {MARK}", f"PRAGMA user_version = {FORMAT}")
"""All statements that make a new file."""
