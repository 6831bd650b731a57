package bench;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** Count and latencies (64 log-linear bins an octave) of one cohort in one window; on the wire sparse: (bin, count). */
final class Cell {
    private static final int BINS = 2048;
    long n;
    final int[] bins = new int[BINS];

    Cell add(double[] latencies) {
        n += latencies.length;
        for (double latency : latencies) {
            if (latency < 0) continue;
            int at = (Float.floatToIntBits((float) latency) >> 17) - (117 << 6);
            bins[Math.max(0, Math.min(BINS - 1, at))]++;
        }
        return this;
    }

    static double p99(long[] bins) {
        long all = 0, below = 0;
        for (long count : bins) all += count;
        for (int i = 0; i < BINS; i++) {
            below += bins[i];
            if (below >= 0.99 * all) return Float.intBitsToFloat((i + (117 << 6)) << 17);
        }
        return Double.NaN;
    }

    static Serde<Cell> serde() {
        Serializer<Cell> write = (topic, cell) -> {
            if (cell == null) return null;
            int filled = 0;
            for (int count : cell.bins) if (count > 0) filled++;
            ByteBuffer out = ByteBuffer.allocate(8 + 6 * filled).putLong(cell.n);
            for (int i = 0; i < BINS; i++) if (cell.bins[i] > 0) out.putShort((short) i).putInt(cell.bins[i]);
            return out.array();
        };
        Deserializer<Cell> read = (topic, raw) -> {
            if (raw == null) return null;
            Cell cell = new Cell();
            ByteBuffer in = ByteBuffer.wrap(raw);
            cell.n = in.getLong();
            while (in.hasRemaining()) cell.bins[in.getShort()] = in.getInt();
            return cell;
        };
        return Serdes.serdeFrom(write, read);
    }
}
