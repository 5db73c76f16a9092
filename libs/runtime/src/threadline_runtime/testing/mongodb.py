"""A server on loopback that speaks MongoDB's protocol (mongo-java-server), with a durable file that is thrown away at the end.

It stands in for MongoDB where no `mongod` can be had. It has no sessions, transactions, change streams and partial indexes, and loses its
last second on `kill -9`: so it is ended by SIGTERM. A filter that names an `_id` beside other fields is looked up by it, as on any MongoDB;
apart from that it uses an index only where it is unique and the filter names exactly its keys, and else reads the whole collection.
THREADLINE_TEST_MONGODB_URI names a real cluster to be used instead.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from threadline_runtime.testing.maven import Jars
from threadline_runtime.testing.ports import LOOPBACK, free_port
from threadline_runtime.testing.processes import ServerProcess
from threadline_runtime.testing.requirements import require_programs

MONGODB_VARIABLE = "THREADLINE_TEST_MONGODB_URI"
_VERSION = "1.47.0"
_JARS = Jars(
    "mongo-java-server",
    _VERSION,
    (
        f"de.bwaldvogel:mongo-java-server:{_VERSION}",
        f"de.bwaldvogel:mongo-java-server-h2-backend:{_VERSION}",
        "org.slf4j:slf4j-simple:2.0.17",
    ),
)
# By itself it says that it is a MongoDB 3.6, which PyMongo no longer talks to.
_PROGRAM = """import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Collection;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.BinData;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.wire.bson.BsonDecoder;
import de.bwaldvogel.mongo.wire.bson.BsonEncoder;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.WriteBuffer;
import org.h2.mvstore.type.BasicDataType;
import org.h2.mvstore.type.ObjectDataType;

public class Server {
    public static void main(String[] arguments) {
        Path login = Path.of(arguments[2]);
        H2Backend backend = new H2Backend(arguments[1]) {
            protected MongoDatabase openOrCreateDatabase(String name) {
                return new H2Database(name, getMvStore(), getCursorRegistry()) {
                    protected MongoCollection<Object> openOrCreateCollection(String collection, CollectionOptions options) {
                        String full = getDatabaseName() + "." + collection;
                        MVMap.Builder<Object, Document> asBson = new MVMap.Builder<Object, Document>().valueType(new Documents());
                        MVMap<Object, Document> data = getMvStore().openMap("databases." + full, asBson);
                        MVMap<String, Object> meta = getMvStore().openMap("meta." + full);
                        return new H2Collection(this, collection, options, data, meta, cursorRegistry) {
                            /** By itself it changes a document in its place, while others write it to the file or to a client. */
                            protected QueryResult createQueryResult(List<Document> found, int batch) {
                                return super.createQueryResult(found.stream().map(Document::clone).toList(), batch);
                            }
                        };
                    }

                    protected Index<Object> openOrCreateUniqueIndex(String of, String index, List<IndexKey> keys, boolean sparse) {
                        MVMap.Builder<KeyValue, Object> byText = new MVMap.Builder<KeyValue, Object>().keyType(new Keys());
                        getMvStore().openMap(getDatabaseName() + "." + of + "._index_" + index, byText);  // the one it opens next
                        Index<Object> made = super.openOrCreateUniqueIndex(of, index, keys, sparse);
                        return keys.size() == 1 && keys.get(0).getKey().equals("_id") ? new ById(made) : made;
                    }
                };
            }

            public Document handleMessage(MongoMessage message) {
                Document asked = message.getDocument();
                if (!asked.containsKey("saslStart")) {
                    return super.handleMessage(message);
                }
                Object told = asked.get("payload");
                if (!Arrays.equals(told instanceof BinData data ? data.getData() : (byte[]) told, right(login))) {
                    throw new MongoServerError(18, "AuthenticationFailed", "Authentication failed.");
                }
                return new Document("ok", 1).append("conversationId", 1).append("done", true).append("payload", new BinData(new byte[0]));
            }
        };
        backend.version(new MongoVersion() {
            public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
            public String toVersionString() { return "5.0.0"; }
            public int getWireVersion() { return 13; }
        });
        MongoServer server = new MongoServer(backend);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
    }

    private static byte[] right(Path login) {
        try {
            return Files.readAllBytes(login);
        } catch (IOException missing) {
            return null;
        }
    }

    /** By itself the server compares keys by what Java serialises them to, anew for each comparison, which takes most of its time. */
    private static class Keys extends ObjectDataType {
        private static String text(Object key) {
            return key instanceof KeyValue values && values.size() == 1 && values.get(0) instanceof String text ? text : null;
        }

        public int compare(Object one, Object other) {
            String text = text(one);
            String than = text(other);
            if (text != null && than != null) {
                return text.compareTo(than);
            }
            return text == null && than == null ? super.compare(one, other) : text != null ? -1 : 1;
        }

        public int getMemory(Object key) { return text(key) == null ? super.getMemory(key) : super.getMemory(text(key)); }
        public void write(WriteBuffer into, Object key) { super.write(into, text(key) == null ? key : text(key)); }

        public Object read(ByteBuffer from) {
            Object read = super.read(from);
            return read instanceof String ? new KeyValue(read) : read;
        }
    }

    /** By itself the server has Java serialise its documents, which takes a fifth of its time; this writes BSON. */
    private static class Documents extends BasicDataType<Document> {
        public int getMemory(Document one) { return 200 + one.values().stream().mapToInt(Documents::memory).sum(); }

        private static int memory(Object value) {
            if (value instanceof String text) {
                return 100 + 2 * text.length();
            } else if (value instanceof BinData data) {
                return 100 + data.getData().length;
            } else if (value instanceof byte[] data) {
                return 100 + data.length;
            } else if (value instanceof Document inner) {
                return 100 + inner.values().stream().mapToInt(Documents::memory).sum();
            } else if (value instanceof Collection<?> many) {
                return 100 + many.stream().mapToInt(Documents::memory).sum();
            }
            return 100;
        }

        public void write(WriteBuffer into, Document one) {
            ByteBuf bson = Unpooled.buffer(4096);
            BsonEncoder.encodeDocument(one, bson);
            into.put(bson.array(), 0, bson.readableBytes());
        }

        public Document read(ByteBuffer from) {
            ByteBuf bson = Unpooled.wrappedBuffer(from);
            Document read = BsonDecoder.decodeBson(bson);
            from.position(from.position() + bson.readerIndex());
            return read;
        }

        public Document[] createStorage(int size) { return new Document[size]; }
    }

    /** By itself the server looks only those up by `_id` that ask for nothing else. What is found is held against the whole filter. */
    private static class ById extends Index<Object> {
        private final Index<Object> made;

        ById(Index<Object> made) {
            super(made.getName(), made.getKeys(), false);
            this.made = made;
        }

        private static Document id(Document asked) { return new Document("_id", asked.get("_id")); }

        public boolean canHandle(Document asked) { return asked.containsKey("_id") && made.canHandle(id(asked)); }
        public Iterable<Object> getPositions(Document asked) { return made.getPositions(id(asked)); }
        public Object getPosition(Document one) { return made.getPosition(one); }
        public void checkAdd(Document one, MongoCollection<Object> in) { made.checkAdd(one, in); }
        public void add(Document one, Object place, MongoCollection<Object> in) { made.add(one, place, in); }
        public Object remove(Document one) { return made.remove(one); }
        public void checkUpdate(Document old, Document one, MongoCollection<Object> in) { made.checkUpdate(old, one, in); }
        public void updateInPlace(Document old, Document one, Object place, MongoCollection<Object> in) {
            made.updateInPlace(old, one, place, in);
        }
        public long getCount() { return made.getCount(); }
        public long getDataSize() { return made.getDataSize(); }
        public boolean isUnique() { return made.isUnique(); }
        public void drop() { made.drop(); }
    }
}
"""
_JVM = ("-Xms512m", "-Xmn320m", "-Xmx2g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
_START_SECONDS = 60.0

__all__ = ["MONGODB_VARIABLE", "MongoServer", "database_url", "named_mongodb", "require_mongodb", "running_mongodb"]


def require_mongodb() -> None:
    """Skip the test, or fail it under THREADLINE_REQUIRE_SERVICES=1, where the server can be neither fetched nor run."""
    _JARS.require()
    require_programs("javac", package="openjdk-17-jdk-headless")


def database_url(server: str, database: str) -> str:
    """A server's URL with the name of one database in it; a login stays in the database that it was looked up in before."""
    split = urlsplit(server)
    query = split.query
    if "@" in split.netloc and "authsource=" not in query.lower():
        query = "&".join(part for part in (query, f"authSource={split.path.strip('/') or 'admin'}") if part)
    return urlunsplit((split.scheme, split.netloc, f"/{database}", query, ""))


class MongoServer:
    """One server. Use it as a context manager, or call `start` and `close`; `start` after `stop` finds the data again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="threadline-mongodb-"))
        self.port = free_port()
        self.keep_log = False
        self._login = self.folder / "login"
        program = self.folder / "Server.java"
        program.write_text(_PROGRAM)
        command: list[str | Path] = ["java", *_JVM, "-cp", f"{_JARS.folder()}/*", program, str(self.port), self.folder / "data.h2"]
        command.append(self._login)
        self._process = ServerProcess(command, self.folder / "mongodb.log")

    def __enter__(self) -> MongoServer:
        try:
            self.start()
        except BaseException:
            self.keep_log = True
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.keep_log = self.keep_log or kind is not None
        self.close()

    @property
    def url(self) -> str:
        """Where clients reach it; `database_url` puts a database's name into it."""
        return f"mongodb://{LOOPBACK}:{self.port}"

    def url_for(self, user: str, password: str) -> str:
        """Where a client reaches it that brings a login, which is refused unless `let_in` was told the same. Who brings none is let in."""
        return f"mongodb://{user}:{password}@{LOOPBACK}:{self.port}/?authMechanism=PLAIN&authSource=$external"

    def let_in(self, user: str, password: str) -> None:
        """From now on this login is right, and no other."""
        self._login.write_bytes(f"\0{user}\0{password}".encode())

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._process.running

    def start(self) -> None:
        """Start, or start again on the same port with the same data. Raises ServerNotReadyError with the end of the log."""
        self._process.start([self.port], _START_SECONDS)

    def stop(self) -> None:
        """End in an orderly way, by SIGTERM; everything that was acknowledged is in the file."""
        self._process.stop(within=30)

    def stall(self) -> None:
        """Stop answering (SIGSTOP) with every connection open, until `go_on`."""
        self._process.freeze()

    def go_on(self) -> None:
        """Answer again."""
        self._process.thaw()

    def close(self) -> None:
        """End it and remove the data; with `keep_log` the log stays in `folder`. A second call does nothing."""
        self._process.kill()
        for file in self.folder.glob("data.h2*"):
            file.unlink()
        if not self.keep_log:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running_mongodb() -> Iterator[MongoServer]:
    """A server while the context lasts; skips the test where it cannot run."""
    require_mongodb()
    with MongoServer() as server:
        yield server


def named_mongodb() -> str | None:
    """The real cluster that the environment names, if any."""
    return os.environ.get(MONGODB_VARIABLE) or None
