import java.io.FileWriter;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** A pool of threads, much garbage, code that gets compiled while it runs, timed waits; a line of the log for each step. */
public class Tasks {
  static long mix(long seed, int rounds) {
    long state = seed;
    for (int i = 0; i < rounds; i++) {
      state ^= state << 13;
      state ^= state >>> 7;
      state ^= state << 17;
    }
    return state;
  }

  public static void main(String[] arguments) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(3);
    Map<String, Long> seen = new HashMap<>();
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    Object monitor = new Object();
    long total = 1;
    try (FileWriter log = new FileWriter("log.txt")) {
      for (int step = 0; step < 200; step++) {
        List<Future<Long>> parts = new ArrayList<>();
        for (int part = 0; part < 4; part++) {
          long seed = total + part + 1;
          parts.add(pool.submit(() -> {
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < 2000; i++) text.append(mix(seed + i, 50)).append(' ');
            return mix(seed ^ text.toString().hashCode(), 1500000);
          }));
        }
        for (Future<Long> part : parts) total = total * 31 + part.get();
        synchronized (monitor) {
          monitor.wait(2);
        }
        digest.update(Long.toString(total).getBytes());
        seen.put(Long.toHexString(total), (long) step);
        log.write("step " + step + " total " + Long.toHexString(total) + "\n");
        log.flush();
      }
    }
    pool.shutdown();
    StringBuilder hex = new StringBuilder();
    for (byte one : digest.digest()) hex.append(String.format("%02x", one));
    System.out.println("done " + hex + " " + seen.size());
    System.exit(6);
  }
}
