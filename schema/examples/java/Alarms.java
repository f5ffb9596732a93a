import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints the enriched alarms of a topic, from its beginning, a line each.
 *
 * <pre>java -cp 'LIBS/*' Alarms.java BROKERS TOPIC GROUP [SETTINGS]</pre>
 *
 * SETTINGS is a file of the client's properties. Needs kafka-clients, slf4j and jackson-databind in LIBS.
 */
public final class Alarms {
    private static final byte[] TYPE = "com.tencent.im.group.quotaalarm.enriched.v1".getBytes(StandardCharsets.UTF_8);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    public static void main(String[] args) throws IOException {
        if (args.length < 3 || args.length > 4) {
            System.err.println("usage: Alarms BROKERS TOPIC GROUP [SETTINGS]");
            System.exit(2);
        }
        Properties settings = new Properties();
        if (args.length == 4) {
            try (Reader file = Files.newBufferedReader(Path.of(args[3]))) {
                settings.load(file);
            }
        }
        settings.putAll(java.util.Map.of("bootstrap.servers", args[0], "group.id", args[2],
                "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(args[1]));
            while (true) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    Header type = record.headers().lastHeader("ce_type");
                    if (type != null && Arrays.equals(type.value(), TYPE)) { // others are of a later release
                        print(record); // it may come twice, with the same alarm_id
                    }
                }
                consumer.commitSync(); // only now: after a crash they come again
            }
        }
    }

    private static void print(ConsumerRecord<byte[], byte[]> record) {
        try {
            JsonNode a = JSON.readTree(record.value()); // fields that are not named here may be there, or come to be
            OUT.println(String.format(Locale.ROOT, "%s %s %d %s %d/%d %.2f%% %s %s", a.required("alarm_id").asText(),
                    a.required("event_time").asText(), a.required("sdk_app_id").asLong(), a.required("severity").asText(),
                    a.required("quota_used").asLong(), a.required("quota").asLong(), a.required("used_percent").asDouble(),
                    a.required("owner").asText("-"), a.required("exhaustion_at").asText("-")));
        } catch (IOException | IllegalArgumentException e) {
            System.err.printf("partition %d offset %d: %s%n", record.partition(), record.offset(), e);
        }
    }
}
