package bench;

import java.nio.file.Files;
import java.time.Duration;
import java.util.HashMap;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams by its DSL: decode, validate, tumbling window, count and p99 per cohort. The key is the cohort: nothing
 * has to be repartitioned. The store is in memory, with its changelog as is the default.
 */
public final class Job {
    private static final long TELL_NS = 50_000_000;
    private static long counted;
    private static final CountDownLatch DONE = new CountDownLatch(1);
    private static long told;

    public static void main(String[] arguments) throws Exception {
        boolean singles = System.getenv("BENCH_FORM").equals("singles");
        long events = Long.parseLong(System.getenv("BENCH_EVENTS"));
        var decoder = new Decoder();
        var windows = TimeWindows.ofSizeWithNoGrace(Duration.ofSeconds(5));
        var store = Stores.inMemoryWindowStore("cells", Duration.ofMinutes(1), Duration.ofSeconds(5), false);
        var builder = new StreamsBuilder();
        builder.stream(System.getenv("BENCH_TOPIC"), Consumed.with(Serdes.String(), Serdes.ByteArray()))
                .mapValues(raw -> singles ? decoder.event(raw) : decoder.batch(raw))
                .groupByKey(Grouped.keySerde(Serdes.String()))
                .windowedBy(windows)
                .aggregate(Cell::new, (key, latencies, cell) -> {
                    tell(latencies.length, events);
                    return cell.add(latencies);
                }, Materialized.<String, Cell>as(store).withKeySerde(Serdes.String()).withValueSerde(Cell.serde()));
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench-" + ProcessHandle.current().pid());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("BENCH_BOOTSTRAP"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("bench").toString());
        settings.put("auto.offset.reset", "earliest");
        var streams = new KafkaStreams(builder.build(), settings);
        streams.start();
        DONE.await();
        Thread.sleep(500); // the last value is put after it was told; what is measured has ended
        sayWhatWasCounted(streams);
    }

    private static void sayWhatWasCounted(KafkaStreams streams) {
        var query = StoreQueryParameters.fromNameAndType("cells", QueryableStoreTypes.<String, Cell>windowStore());
        var n = new HashMap<String, Long>();
        var bins = new HashMap<String, long[]>();
        try (var all = streams.store(query).all()) {
            all.forEachRemaining(found -> {
                Cell cell = found.value;
                n.merge(found.key.key(), cell.n, Long::sum);
                long[] sum = bins.computeIfAbsent(found.key.key(), key -> new long[cell.bins.length]);
                for (int i = 0; i < sum.length; i++) sum[i] += cell.bins[i];
            });
        }
        System.out.println(n.keySet().stream()
                .map(key -> "\"" + key + "\": [" + n.get(key) + ", " + Cell.p99(bins.get(key)) + "]")
                .collect(Collectors.joining(", ", "{\"told\": {", "}}")));
    }

    private static void tell(int more, long events) {
        counted += more;
        long now = System.nanoTime();
        if (counted >= events || now - told > TELL_NS) {
            told = now;
            System.out.println("{\"events\": " + counted + "}");
        }
        if (counted >= events) DONE.countDown();
    }
}
