package bench;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** JSON to checked latencies, as `request-event.v1.schema.json` and `event-batch.v1.schema.json` ask. */
final class Decoder {
    /** Fields are public so that Jackson sets them without reflection on setters. */
    static final class Event {
        public int v = 1;
        public String producer, service, version, instance, session, assignment, method, tool, outcome;
        public String error_type, protocol_version;
        public long sequence = -1, started_at = -1;
        public double duration_ms = -1;
        public boolean first_of_session, tells_ends;
        public Double session_age_ms, session_gap_ms;
        public Map<String, Double> metrics = Map.of();
    }

    static final class Batch {
        public int v = 1;
        public String producer, service, version, instance;
        public long sequence = -1, dropped;
        public boolean tells_ends;
        public String[] names;
        public int[] method, outcome, session = {}, assignment = {}, tool = {}, error_type = {}, protocol_version = {};
        public int[] first_of_session = {};
        public long[] started_at;
        public double[] duration_ms, session_age_ms = {}, session_gap_ms = {};
        public Map<String, Map<String, List<Double>>> metrics = Map.of();
    }

    private static final Set<String> OUTCOMES = Set.of("ok", "tool_error", "rpc_error", "server_error", "timeout",
            "cancelled", "input_required", "rejected", "ended");
    private static final Set<String> UNTIMED = Set.of("cancelled", "rejected", "ended");
    private static final long END = 1L << 53;

    private final ObjectReader events, batches;

    Decoder() {
        var mapper = new ObjectMapper().disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);
        events = mapper.readerFor(Event.class);
        batches = mapper.readerFor(Batch.class);
    }

    /** One latency; negative where the outcome has none. */
    double[] event(byte[] raw) {
        try {
            Event e = events.readValue(raw);
            name(e.producer, e.service, e.version, e.instance, e.method);
            optional(e.tool, 1, 120);
            optional(e.error_type, 1, 120);
            optional(e.protocol_version, 1, 120);
            optional(e.session, 0, 64);
            optional(e.assignment, 0, 100);
            must(e.v == 1 && whole(e.sequence) && whole(e.started_at) && OUTCOMES.contains(e.outcome));
            must(e.duration_ms >= 0 && e.duration_ms < 1e9 && e.metrics.size() <= 32);
            must(e.session_age_ms == null || (e.session_age_ms >= 0 && e.session_age_ms < 1e12));
            must(e.session_gap_ms == null || (e.session_gap_ms >= 0 && e.session_gap_ms < 1e12));
            return new double[] {UNTIMED.contains(e.outcome) ? -1 : e.duration_ms};
        } catch (IOException error) {
            throw new IllegalArgumentException(error);
        }
    }

    /** A latency each request; negative where the outcome has none. */
    double[] batch(byte[] raw) {
        try {
            Batch b = batches.readValue(raw);
            name(b.producer, b.service, b.version, b.instance);
            must(b.v == 1 && whole(b.sequence) && b.method.length > 0 && b.method.length <= 5000);
            int n = b.method.length;
            for (int[] places : new int[][] {b.session, b.assignment, b.tool, b.error_type, b.protocol_version}) {
                must(places.length == 0 || places.length == n);
                for (int at : places) must(at >= -1 && at < b.names.length);
            }
            for (int at : b.method) must(at >= 0 && at < b.names.length);
            must(b.outcome.length == n && b.started_at.length == n && b.duration_ms.length == n);
            for (long at : b.started_at) must(whole(at));
            for (double[] ages : new double[][] {b.session_age_ms, b.session_gap_ms}) {
                must(ages.length == 0 || ages.length == n);
                for (double age : ages) must(age >= -1 && age < 1e12);
            }
            double[] latencies = b.duration_ms;
            for (int i = 0; i < n; i++) {
                String outcome = b.names[b.outcome[i]];
                must(latencies[i] >= 0 && latencies[i] < 1e9 && OUTCOMES.contains(outcome));
                if (UNTIMED.contains(outcome)) latencies[i] = -1;
            }
            return latencies;
        } catch (IOException error) {
            throw new IllegalArgumentException(error);
        }
    }

    private static boolean whole(long value) {
        return value >= 0 && value < END;
    }

    private static void name(String... values) {
        for (String value : values) must(value != null && !value.isEmpty() && value.length() <= 120);
    }

    private static void optional(String value, int least, int most) {
        must(value == null || (value.length() >= least && value.length() <= most));
    }

    private static void must(boolean condition) {
        if (!condition) throw new IllegalArgumentException("not what the schema says");
    }
}
