SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME; END $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.bay (
    id character varying(64) NOT NULL,
    station_id character varying(32) NOT NULL,
    name character varying(32) NOT NULL,
    "position" integer NOT NULL,
    role character varying(16) NOT NULL,
    blocked boolean NOT NULL,
    blocked_reason character varying NOT NULL,
    charge_kw double precision,
    setpoint_kw double precision,
    limited_by character varying NOT NULL
);
CREATE TABLE public.bill (
    id character varying(32) NOT NULL,
    swap_id character varying(32) NOT NULL,
    kind character varying(16) NOT NULL,
    payer_id character varying(32) NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    total_fen bigint NOT NULL,
    flags character varying NOT NULL
);
CREATE TABLE public.bill_line (
    bill_id character varying(32) NOT NULL,
    line_no integer NOT NULL,
    kind character varying(16) NOT NULL,
    seat integer,
    pack_id character varying(24),
    payee_id character varying(32) NOT NULL,
    energy_centi_kwh bigint NOT NULL,
    unit_price_1e4_yuan bigint NOT NULL,
    amount_fen bigint NOT NULL,
    basis json NOT NULL
);
CREATE TABLE public.booking (
    id character varying(32) NOT NULL,
    station_id character varying(32) NOT NULL,
    vehicle_id character varying(20) NOT NULL,
    window_start_at timestamp with time zone NOT NULL,
    window_end_at timestamp with time zone NOT NULL,
    status character varying(16) NOT NULL,
    idempotency_key character varying(64),
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_booking_window CHECK ((window_end_at > window_start_at))
);
CREATE TABLE public.charge_session (
    id integer NOT NULL,
    station_id character varying(32) NOT NULL,
    pack_id character varying(24) NOT NULL,
    bay_id character varying(64) NOT NULL,
    open_pack_id character varying(24),
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    start_energy_kwh double precision NOT NULL,
    end_energy_kwh double precision,
    start_meter_kwh double precision,
    end_meter_kwh double precision
);
CREATE SEQUENCE public.charge_session_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.charge_session_id_seq OWNED BY public.charge_session.id;
CREATE TABLE public.control_request (
    id integer NOT NULL,
    station_id character varying(32) NOT NULL,
    kind character varying(32) NOT NULL,
    arguments json NOT NULL,
    requested_by character varying(64) NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    status character varying(16) NOT NULL,
    answered_at timestamp with time zone,
    answer character varying NOT NULL,
    answer_parts json
);
CREATE SEQUENCE public.control_request_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.control_request_id_seq OWNED BY public.control_request.id;
CREATE TABLE public.controller_lease (
    station_id character varying(32) NOT NULL,
    holder character varying NOT NULL,
    token integer NOT NULL,
    heartbeat_at timestamp with time zone NOT NULL
);
CREATE TABLE public.fault (
    id integer NOT NULL,
    station_id character varying(32) NOT NULL,
    code integer NOT NULL,
    level integer NOT NULL,
    source character varying(64) NOT NULL,
    open_key character varying(160),
    raised_at timestamp with time zone NOT NULL,
    acknowledged_at timestamp with time zone,
    acknowledged_by character varying(64),
    cleared_at timestamp with time zone,
    data json NOT NULL
);
CREATE SEQUENCE public.fault_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.fault_id_seq OWNED BY public.fault.id;
CREATE TABLE public.pack (
    id character varying(24) NOT NULL,
    kind character varying(32) NOT NULL,
    owner_id character varying(32) NOT NULL,
    rated_kwh double precision NOT NULL,
    soh_pct double precision NOT NULL,
    state character varying(16) NOT NULL,
    state_since_at timestamp with time zone NOT NULL,
    bay_id character varying(64),
    vehicle_id character varying(20),
    seat integer,
    gripper_lane_id character varying(64),
    tank_station_id character varying(32),
    off_site boolean NOT NULL,
    energy_kwh double precision,
    soc_pct double precision,
    temp_max_c double precision,
    reading_at timestamp with time zone,
    settled_soe_kwh double precision,
    cycles_kwh double precision NOT NULL,
    CONSTRAINT ck_pack_one_place CHECK ((((((
CASE
    WHEN (bay_id IS NULL) THEN 0
    ELSE 1
END +
CASE
    WHEN (vehicle_id IS NULL) THEN 0
    ELSE 1
END) +
CASE
    WHEN (gripper_lane_id IS NULL) THEN 0
    ELSE 1
END) +
CASE
    WHEN (tank_station_id IS NULL) THEN 0
    ELSE 1
END) +
CASE
    WHEN off_site THEN 1
    ELSE 0
END) = 1)),
    CONSTRAINT ck_pack_seat_with_vehicle CHECK (((vehicle_id IS NULL) = (seat IS NULL))),
    CONSTRAINT ck_pack_soc_range CHECK (((soc_pct IS NULL) OR ((soc_pct >= (0)::double precision) AND (soc_pct <= (100)::double precision)))),
    CONSTRAINT ck_pack_soh_range CHECK (((soh_pct > (0)::double precision) AND (soh_pct <= (100)::double precision)))
);
CREATE TABLE public.party (
    id character varying(32) NOT NULL,
    kind character varying(20) NOT NULL,
    name_zh character varying NOT NULL,
    name_en character varying NOT NULL
);
CREATE TABLE public.robot_command (
    id integer NOT NULL,
    lane_id character varying(64) NOT NULL,
    seq integer NOT NULL,
    swap_id character varying(32),
    state character varying(40) NOT NULL,
    code integer NOT NULL,
    source integer NOT NULL,
    target integer NOT NULL,
    vehicle_tag bigint NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    result character varying(16) NOT NULL,
    fault_code integer NOT NULL
);
CREATE SEQUENCE public.robot_command_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.robot_command_id_seq OWNED BY public.robot_command.id;
CREATE TABLE public.site_sample (
    id integer NOT NULL,
    station_id character varying(32) NOT NULL,
    at timestamp with time zone NOT NULL,
    import_kw double precision,
    charge_kw double precision,
    limit_kw double precision NOT NULL,
    ready_packs integer NOT NULL,
    queue_length integer NOT NULL
);
CREATE SEQUENCE public.site_sample_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.site_sample_id_seq OWNED BY public.site_sample.id;
CREATE TABLE public.station (
    id character varying(32) NOT NULL,
    name_zh character varying NOT NULL,
    name_en character varying NOT NULL,
    timezone character varying NOT NULL,
    operator_id character varying(32) NOT NULL,
    mode character varying(16) NOT NULL,
    mode_reason character varying NOT NULL,
    mode_since_at timestamp with time zone NOT NULL,
    version bigint NOT NULL,
    last_seq_by_lane json NOT NULL
);
CREATE TABLE public.station_event (
    id bigint NOT NULL,
    station_id character varying(32) NOT NULL,
    at timestamp with time zone NOT NULL,
    kind character varying(48) NOT NULL,
    actor character varying(64) NOT NULL,
    swap_id character varying(32),
    pack_id character varying(24),
    bay_id character varying(64),
    lane_id character varying(32),
    cause_id bigint,
    data json NOT NULL
);
CREATE TABLE public.swap (
    id character varying(32) NOT NULL,
    station_id character varying(32) NOT NULL,
    vehicle_id character varying(20) NOT NULL,
    booking_id character varying(32),
    idempotency_key character varying(64),
    open_vehicle_id character varying(20),
    open_lane_id character varying(64),
    lane_id character varying(32),
    recipe character varying(64),
    pack_count integer NOT NULL,
    priority integer NOT NULL,
    state character varying(40) NOT NULL,
    phase character varying(16) NOT NULL,
    seq integer,
    tries integer NOT NULL,
    entered_at timestamp with time zone NOT NULL,
    deadline_at timestamp with time zone,
    hold_reason character varying,
    hold_detail json NOT NULL,
    checks json NOT NULL,
    arrived_at timestamp with time zone NOT NULL,
    dispatched_at timestamp with time zone,
    ended_at timestamp with time zone,
    end_reason character varying NOT NULL,
    CONSTRAINT ck_swap_ended_when_terminal CHECK (((ended_at IS NULL) = ((state)::text <> ALL ((ARRAY['completed'::character varying, 'returned'::character varying, 'cancelled'::character varying])::text[]))))
);
CREATE TABLE public.swap_seat (
    swap_id character varying(32) NOT NULL,
    seat integer NOT NULL,
    old_pack_id character varying(24),
    new_pack_id character varying(24),
    old_bay_id character varying(64),
    new_bay_id character varying(64),
    last_settled_soe_kwh double precision,
    returned_soe_kwh double precision,
    returned_soc_pct double precision,
    installed_soe_kwh double precision,
    installed_soc_pct double precision,
    exchanged boolean NOT NULL
);
CREATE TABLE public.vehicle (
    id character varying(20) NOT NULL,
    tag bigint NOT NULL,
    model character varying(32) NOT NULL,
    fleet_id character varying(32) NOT NULL
);
ALTER TABLE ONLY public.charge_session ALTER COLUMN id SET DEFAULT nextval('public.charge_session_id_seq'::regclass);
ALTER TABLE ONLY public.control_request ALTER COLUMN id SET DEFAULT nextval('public.control_request_id_seq'::regclass);
ALTER TABLE ONLY public.fault ALTER COLUMN id SET DEFAULT nextval('public.fault_id_seq'::regclass);
ALTER TABLE ONLY public.robot_command ALTER COLUMN id SET DEFAULT nextval('public.robot_command_id_seq'::regclass);
ALTER TABLE ONLY public.site_sample ALTER COLUMN id SET DEFAULT nextval('public.site_sample_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0002');
INSERT INTO public.bay VALUES ('test:T1', 'test', 'T1', 5, 'transfer', false, '', NULL, 0, 'role');
INSERT INTO public.bay VALUES ('test:Q1', 'test', 'Q1', 6, 'quarantine', false, '', NULL, 0, 'role');
INSERT INTO public.bay VALUES ('test:A4', 'test', 'A4', 4, 'rack', false, '', 0, 0, 'target');
INSERT INTO public.bay VALUES ('test:A1', 'test', 'A1', 1, 'rack', false, '', 0, 0, 'pack_state');
INSERT INTO public.bay VALUES ('test:A3', 'test', 'A3', 3, 'rack', false, '', 0, 0, 'target');
INSERT INTO public.bay VALUES ('test:A2', 'test', 'A2', 2, 'rack', false, '', 0, 0, 'no_pack');
INSERT INTO public.bill VALUES ('bl-6a9640ecb36f5fa767', 'sw-6a963fb52d9199b8a8', 'swap', 'fleet', '2026-09-01 11:05:16+08', 2090, 'first_swap');
INSERT INTO public.bill VALUES ('bl-6a9640f6562c32747f', 'sw-6a963fb52d9199b8a8', 'reversal', 'fleet', '2026-09-01 11:05:26+08', -2090, 'first_swap');
INSERT INTO public.bill VALUES ('bl-6a9640f64e392f1fef', 'sw-6a963fb52d9199b8a8', 'correction', 'fleet', '2026-09-01 11:05:26+08', 2089, 'first_swap');
INSERT INTO public.bill VALUES ('bl-6a9642324a9d15e436', 'sw-6a9640fffc18fa985f', 'swap', 'fleet', '2026-09-01 11:10:42+08', 0, 'first_swap');
INSERT INTO public.bill VALUES ('bl-6a96423c89874e18a6', 'sw-6a9640fffc18fa985f', 'reversal', 'fleet', '2026-09-01 11:10:52+08', 0, 'first_swap');
INSERT INTO public.bill_line VALUES ('bl-6a9640ecb36f5fa767', 1, 'energy', 1, '0SXPB280000YQ1G510000011', 'op', 2820, 3410, 962, '{"lsoe_kwh": "112.80000000000001", "usoe_kwh": "84.6", "difference_kwh": "28.20000000000001", "rated_kwh": "282.0", "confirmed_kwh": null, "flag": null}');
INSERT INTO public.bill_line VALUES ('bl-6a9640ecb36f5fa767', 2, 'service', 1, '0SXPB280000YQ1G510000011', 'op', 2820, 4000, 1128, '{"lsoe_kwh": "112.80000000000001", "usoe_kwh": "84.6", "difference_kwh": "28.20000000000001", "rated_kwh": "282.0", "confirmed_kwh": null, "flag": null}');
INSERT INTO public.bill_line VALUES ('bl-6a9640f6562c32747f', 1, 'energy', 1, '0SXPB280000YQ1G510000011', 'op', -2820, 3410, -962, '{"reverses": "bl-6a9640ecb36f5fa767", "line": 1}');
INSERT INTO public.bill_line VALUES ('bl-6a9640f6562c32747f', 2, 'service', 1, '0SXPB280000YQ1G510000011', 'op', -2820, 4000, -1128, '{"reverses": "bl-6a9640ecb36f5fa767", "line": 2}');
INSERT INTO public.bill_line VALUES ('bl-6a9640f64e392f1fef', 1, 'energy', 1, '0SXPB280000YQ1G510000011', 'op', 2819, 3410, 961, '{"lsoe_kwh": "112.80000000000001", "usoe_kwh": "84.6", "difference_kwh": "28.20000000000001", "rated_kwh": "282.0", "confirmed_kwh": "28.19", "flag": null, "confirmed_by": "Wang", "reason": "read again"}');
INSERT INTO public.bill_line VALUES ('bl-6a9640f64e392f1fef', 2, 'service', 1, '0SXPB280000YQ1G510000011', 'op', 2819, 4000, 1128, '{"lsoe_kwh": "112.80000000000001", "usoe_kwh": "84.6", "difference_kwh": "28.20000000000001", "rated_kwh": "282.0", "confirmed_kwh": "28.19", "flag": null, "confirmed_by": "Wang", "reason": "read again"}');
INSERT INTO public.bill_line VALUES ('bl-6a9642324a9d15e436', 1, 'energy', 1, '0SXPB280000YQ1G510000012', 'op', 0, 3410, 0, '{"lsoe_kwh": "112.80000000000001", "usoe_kwh": "112.8", "difference_kwh": "1E-14", "rated_kwh": "282.0", "confirmed_kwh": null, "flag": null}');
INSERT INTO public.bill_line VALUES ('bl-6a9642324a9d15e436', 2, 'service', 1, '0SXPB280000YQ1G510000012', 'op', 0, 4000, 0, '{"lsoe_kwh": "112.80000000000001", "usoe_kwh": "112.8", "difference_kwh": "1E-14", "rated_kwh": "282.0", "confirmed_kwh": null, "flag": null}');
INSERT INTO public.bill_line VALUES ('bl-6a96423c89874e18a6', 1, 'energy', 1, '0SXPB280000YQ1G510000012', 'op', 0, 3410, 0, '{"reverses": "bl-6a9642324a9d15e436", "line": 1}');
INSERT INTO public.bill_line VALUES ('bl-6a96423c89874e18a6', 2, 'service', 1, '0SXPB280000YQ1G510000012', 'op', 0, 4000, 0, '{"reverses": "bl-6a9642324a9d15e436", "line": 2}');
INSERT INTO public.booking VALUES ('bk-6a963fb5749d3f0d69', 'test', 'V4', '2026-09-01 11:45:05+08', '2026-09-01 12:15:05+08', 'cancelled', NULL, '2026-09-01 11:00:05+08');
INSERT INTO public.booking VALUES ('bk-6a963fb532e89a9b8c', 'test', 'V1', '2026-09-01 11:00:05+08', '2026-09-01 11:30:05+08', 'fulfilled', 'key-V1-0-5', '2026-09-01 11:00:05+08');
INSERT INTO public.booking VALUES ('bk-6a9640f6d99795976c', 'test', 'V2', '2026-09-01 11:05:26+08', '2026-09-01 11:35:26+08', 'failed', 'key-V2-0-326', '2026-09-01 11:05:26+08');
INSERT INTO public.booking VALUES ('bk-6a963fb5f3e0914f8b', 'test', 'V4', '2026-09-01 11:00:05+08', '2026-09-01 11:15:05+08', 'expired', 'key-V4-0-5', '2026-09-01 11:00:05+08');
INSERT INTO public.booking VALUES ('bk-6a96504c3aff520c96', 'test', 'V3', '2026-09-01 12:10:52+08', '2026-09-01 12:40:52+08', 'failed', 'key-V3-0-4252', '2026-09-01 12:10:52+08');
INSERT INTO public.booking VALUES ('bk-6a965161e2a3741727', 'test', 'V4', '2026-09-01 14:15:29+08', '2026-09-01 14:45:29+08', 'booked', 'key-V4-120-4529', '2026-09-01 12:15:29+08');
INSERT INTO public.booking VALUES ('bk-6a96516196d4175f0e', 'test', 'V1', '2026-09-01 12:15:29+08', '2026-09-01 12:45:29+08', 'arrived', 'key-V1-0-4529', '2026-09-01 12:15:29+08');
INSERT INTO public.charge_session VALUES (1, 'test', '0SXPB280000YQ1G510000001', 'test:A1', NULL, '2026-09-01 11:00:06+08', '2026-09-01 11:00:11+08', 253.84885719642836, 254.04383061938086, 0.0508929129461914, 0.25399022852171294);
INSERT INTO public.charge_session VALUES (2, 'test', '0SXPB280000YQ1G510000002', 'test:A2', NULL, '2026-09-01 11:00:06+08', '2026-09-01 11:05:38+08', 253.84885719642836, 267.754641795827, 0.0508929129461914, 14.536085203986458);
INSERT INTO public.charge_session VALUES (3, 'test', '0SXPB280000YQ1G510000003', 'test:A3', NULL, '2026-09-01 11:00:06+08', '2026-09-01 11:05:43+08', 253.84885719642836, 267.93350246794597, 0.0508929129461914, 14.722398404110372);
INSERT INTO public.charge_session VALUES (5, 'test', '0SXPB280000YQ1G510000012', 'test:A1', NULL, '2026-09-01 11:08:13+08', '2026-09-01 11:52:52+08', 112.86399999999999, 269.4800202667704, 0.32065689518837226, 163.46234467307417);
INSERT INTO public.charge_session VALUES (4, 'test', '0SXPB280000YQ1G510000011', 'test:A4', NULL, '2026-09-01 11:02:51+08', '2026-09-01 11:54:52+08', 84.66399999999999, 269.5270773726602, 0.06666666666665932, 192.63237226318782);
INSERT INTO public.control_request VALUES (1, 'test', 'hold', '{"reason": "\u6d82\u88c5 painting"}', '李 Li', '2026-09-01 11:05:26+08', 'done', '2026-09-01 11:05:29+08', 'held', '[{"code": "held", "values": {}}]');
INSERT INTO public.control_request VALUES (2, 'test', 'cancel_swap', '{"swap_id": "sw-6a9640f97fbb751720"}', '李 Li', '2026-09-01 11:05:29+08', 'done', '2026-09-01 11:05:32+08', 'cancelled', '[{"code": "cancelled", "values": {}}]');
INSERT INTO public.control_request VALUES (3, 'test', 'release_bay', '{"bay_id": "A9"}', 'controller', '2026-09-01 11:05:29+08', 'refused', '2026-09-01 11:05:32+08', 'no bay ''A9''', '[{"code": "no_bay", "values": {"given": "''A9''"}}]');
INSERT INTO public.control_request VALUES (4, 'test', 'confirm', '{}', '李 Li', '2026-09-01 11:05:32+08', 'done', '2026-09-01 11:05:35+08', 'going on', '[{"code": "going_on", "values": {}}]');
INSERT INTO public.control_request VALUES (5, 'test', 'hold', '{}', '李 Li', '2026-09-01 12:11:59+08', 'done', '2026-09-01 12:12:01+08', 'held', '[{"code": "held", "values": {}}]');
INSERT INTO public.control_request VALUES (6, 'test', 'decide', '{"swap_id": "sw-6a96504cac7ad426d7", "decision": "unwind"}', 'Wang', '2026-09-01 12:13:19+08', 'done', '2026-09-01 12:13:24+08', 'unwind', '[{"code": "decided", "values": {"decision": "unwind"}}]');
INSERT INTO public.control_request VALUES (7, 'test', 'confirm', '{}', 'Wang', '2026-09-01 12:13:24+08', 'done', '2026-09-01 12:13:25+08', 'going on', '[{"code": "going_on", "values": {}}]');
INSERT INTO public.control_request VALUES (8, 'test', 'close', '{"reason": "night"}', 'controller', '2026-09-01 12:16:46+08', 'open', NULL, '', NULL);
INSERT INTO public.controller_lease VALUES ('test', 'vm:12748:69f38cea', 54168, '2026-09-01 11:00:00+08');
INSERT INTO public.fault VALUES (1, 'test', 1001, 3, 'lane:L1', 'test|lane:L1|1001', '2026-09-01 12:16:27+08', '2026-09-01 12:16:46+08', 'Wang', NULL, '{}');
INSERT INTO public.pack VALUES ('0SXPB280000YQ1G510000014', 'lfp', 'owner', 282, 100, 'on_vehicle', '2026-09-01 11:00:00+08', NULL, 'V4', 1, NULL, NULL, false, NULL, NULL, NULL, NULL, 112.80000000000001, 0);
INSERT INTO public.pack VALUES ('0SXPB280000YQ1G510000003', 'lfp', 'owner', 282, 100, 'ready', '2026-09-01 11:00:05+08', 'test:A3', NULL, NULL, NULL, NULL, false, 267.93350246794597, 95.01188030778226, 20.41472955498138, '2026-09-01 12:16:46+08', NULL, 14.084645271517616);
INSERT INTO public.pack VALUES ('0SXPB280000YQ1G510000011', 'lfp', 'owner', 282, 100, 'ready', '2026-09-01 11:47:52+08', 'test:A4', NULL, NULL, NULL, NULL, false, 269.5270773726602, 95.57697779172348, 27.54007766709965, '2026-09-01 12:16:46+08', 112.80000000000001, 184.8630773726602);
INSERT INTO public.pack VALUES ('0SXPB280000YQ1G510000001', 'lfp', 'owner', 282, 100, 'on_vehicle', '2026-09-01 11:04:21+08', NULL, 'V1', 1, NULL, NULL, false, 254.04383061938086, 90.08646475864569, 20.017790851487216, '2026-09-01 11:03:17+08', 254.04383061938086, 0.19497342295250064);
INSERT INTO public.pack VALUES ('0SXPB280000YQ1G510000012', 'lfp', 'owner', 282, 100, 'reserved', '2026-09-01 12:15:30+08', 'test:A1', NULL, NULL, NULL, NULL, false, 269.4800202667704, 95.56029087474128, 26.501412802666287, '2026-09-01 12:16:46+08', 112.80000000000001, 156.61602026677042);
INSERT INTO public.pack VALUES ('0SXPB280000YQ1G510000002', 'lfp', 'owner', 282, 100, 'on_vehicle', '2026-09-01 11:09:50+08', NULL, 'V2', 1, NULL, NULL, false, 267.754641795827, 94.94845453752731, 20.98237757230888, '2026-09-01 11:08:40+08', 267.754641795827, 13.905784599398658);
INSERT INTO public.pack VALUES ('0SXPB280000YQ1G510000013', 'lfp', 'owner', 282, 100, 'on_vehicle', '2026-09-01 12:14:07+08', NULL, 'V3', 1, NULL, NULL, false, NULL, NULL, NULL, NULL, 112.80000000000001, 0);
INSERT INTO public.party VALUES ('op', 'station_operator', '运营', 'Operator');
INSERT INTO public.party VALUES ('owner', 'battery_owner', '资产', 'Owner');
INSERT INTO public.party VALUES ('fleet', 'fleet', '车队', 'Fleet');
INSERT INTO public.robot_command VALUES (1, 'test:L1', 1, 'sw-6a963fb52d9199b8a8', 'admitting', 1, 0, 0, 101, '2026-09-01 11:00:07+08', '2026-09-01 11:00:50+08', 'done', 0);
INSERT INTO public.robot_command VALUES (2, 'test:L1', 2, 'sw-6a963fb52d9199b8a8', 'locating', 2, 0, 0, 101, '2026-09-01 11:00:52+08', '2026-09-01 11:01:00+08', 'done', 0);
INSERT INTO public.robot_command VALUES (3, 'test:L1', 3, 'sw-6a963fb52d9199b8a8', 'unlocking', 3, 0, 101, 101, '2026-09-01 11:01:02+08', '2026-09-01 11:01:12+08', 'done', 0);
INSERT INTO public.robot_command VALUES (4, 'test:L1', 4, 'sw-6a963fb52d9199b8a8', 'lifting_old', 5, 101, 0, 101, '2026-09-01 11:01:13+08', '2026-09-01 11:02:01+08', 'done', 0);
INSERT INTO public.robot_command VALUES (5, 'test:L1', 5, 'sw-6a963fb52d9199b8a8', 'storing_old', 6, 0, 4, 101, '2026-09-01 11:02:02+08', '2026-09-01 11:02:48+08', 'done', 0);
INSERT INTO public.robot_command VALUES (6, 'test:L1', 6, 'sw-6a963fb52d9199b8a8', 'fetching_new', 5, 1, 0, 101, '2026-09-01 11:02:49+08', '2026-09-01 11:03:36+08', 'done', 0);
INSERT INTO public.robot_command VALUES (7, 'test:L1', 7, 'sw-6a963fb52d9199b8a8', 'placing_new', 6, 0, 101, 101, '2026-09-01 11:03:37+08', '2026-09-01 11:04:21+08', 'done', 0);
INSERT INTO public.robot_command VALUES (8, 'test:L1', 8, 'sw-6a963fb52d9199b8a8', 'locking', 4, 0, 101, 101, '2026-09-01 11:04:22+08', '2026-09-01 11:04:35+08', 'done', 0);
INSERT INTO public.robot_command VALUES (9, 'test:L1', 9, 'sw-6a963fb52d9199b8a8', 'homing', 7, 0, 0, 101, '2026-09-01 11:04:37+08', '2026-09-01 11:04:53+08', 'done', 0);
INSERT INTO public.robot_command VALUES (10, 'test:L1', 10, 'sw-6a963fb52d9199b8a8', 'releasing', 8, 0, 0, 101, '2026-09-01 11:04:54+08', '2026-09-01 11:05:16+08', 'done', 0);
INSERT INTO public.robot_command VALUES (11, 'test:L1', 11, 'sw-6a9640fffc18fa985f', 'admitting', 1, 0, 0, 102, '2026-09-01 11:05:37+08', '2026-09-01 11:06:17+08', 'done', 0);
INSERT INTO public.robot_command VALUES (12, 'test:L1', 12, 'sw-6a9640fffc18fa985f', 'locating', 2, 0, 0, 102, '2026-09-01 11:06:19+08', '2026-09-01 11:06:27+08', 'done', 0);
INSERT INTO public.robot_command VALUES (13, 'test:L1', 13, 'sw-6a9640fffc18fa985f', 'unlocking', 3, 0, 101, 102, '2026-09-01 11:06:29+08', '2026-09-01 11:06:40+08', 'done', 0);
INSERT INTO public.robot_command VALUES (14, 'test:L1', 14, 'sw-6a9640fffc18fa985f', 'lifting_old', 5, 101, 0, 102, '2026-09-01 11:06:41+08', '2026-09-01 11:07:23+08', 'done', 0);
INSERT INTO public.robot_command VALUES (15, 'test:L1', 15, 'sw-6a9640fffc18fa985f', 'storing_old', 6, 0, 1, 102, '2026-09-01 11:07:24+08', '2026-09-01 11:08:10+08', 'done', 0);
INSERT INTO public.robot_command VALUES (16, 'test:L1', 16, 'sw-6a9640fffc18fa985f', 'fetching_new', 5, 2, 0, 102, '2026-09-01 11:08:11+08', '2026-09-01 11:09:00+08', 'done', 0);
INSERT INTO public.robot_command VALUES (17, 'test:L1', 17, 'sw-6a9640fffc18fa985f', 'placing_new', 6, 0, 101, 102, '2026-09-01 11:09:01+08', '2026-09-01 11:09:50+08', 'done', 0);
INSERT INTO public.robot_command VALUES (18, 'test:L1', 18, 'sw-6a9640fffc18fa985f', 'locking', 4, 0, 101, 102, '2026-09-01 11:09:51+08', '2026-09-01 11:10:03+08', 'done', 0);
INSERT INTO public.robot_command VALUES (19, 'test:L1', 19, 'sw-6a9640fffc18fa985f', 'homing', 7, 0, 0, 102, '2026-09-01 11:10:05+08', '2026-09-01 11:10:21+08', 'done', 0);
INSERT INTO public.robot_command VALUES (20, 'test:L1', 20, 'sw-6a9640fffc18fa985f', 'releasing', 8, 0, 0, 102, '2026-09-01 11:10:22+08', '2026-09-01 11:10:42+08', 'done', 0);
INSERT INTO public.robot_command VALUES (21, 'test:L1', 21, 'sw-6a96504cac7ad426d7', 'admitting', 1, 0, 0, 103, '2026-09-01 12:10:54+08', '2026-09-01 12:11:36+08', 'done', 0);
INSERT INTO public.robot_command VALUES (22, 'test:L1', 22, 'sw-6a96504cac7ad426d7', 'locating', 2, 0, 0, 103, '2026-09-01 12:11:38+08', '2026-09-01 12:11:46+08', 'done', 0);
INSERT INTO public.robot_command VALUES (23, 'test:L1', 23, 'sw-6a96504cac7ad426d7', 'unlocking', 3, 0, 101, 103, '2026-09-01 12:11:48+08', '2026-09-01 12:11:58+08', 'done', 0);
INSERT INTO public.robot_command VALUES (24, 'test:L1', 24, 'sw-6a96504cac7ad426d7', 'lifting_old', 5, 101, 0, 103, '2026-09-01 12:11:59+08', '2026-09-01 12:13:24+08', 'done', 0);
INSERT INTO public.robot_command VALUES (25, 'test:L1', 25, 'sw-6a96504cac7ad426d7', 'replacing_old', 6, 0, 101, 103, '2026-09-01 12:13:26+08', '2026-09-01 12:14:07+08', 'done', 0);
INSERT INTO public.robot_command VALUES (26, 'test:L1', 26, 'sw-6a96504cac7ad426d7', 'relocking', 4, 0, 101, 103, '2026-09-01 12:14:08+08', '2026-09-01 12:14:20+08', 'done', 0);
INSERT INTO public.robot_command VALUES (27, 'test:L1', 27, 'sw-6a96504cac7ad426d7', 'homing_back', 7, 0, 0, 103, '2026-09-01 12:14:21+08', '2026-09-01 12:14:36+08', 'done', 0);
INSERT INTO public.robot_command VALUES (28, 'test:L1', 28, 'sw-6a96504cac7ad426d7', 'releasing_back', 8, 0, 0, 103, '2026-09-01 12:14:37+08', '2026-09-01 12:14:59+08', 'done', 0);
INSERT INTO public.robot_command VALUES (29, 'test:L1', 29, 'sw-6a965161d065717aee', 'admitting', 1, 0, 0, 101, '2026-09-01 12:15:31+08', '2026-09-01 12:16:14+08', 'done', 0);
INSERT INTO public.robot_command VALUES (30, 'test:L1', 30, 'sw-6a965161d065717aee', 'locating', 2, 0, 0, 101, '2026-09-01 12:16:16+08', '2026-09-01 12:16:24+08', 'done', 0);
INSERT INTO public.robot_command VALUES (31, 'test:L1', 31, 'sw-6a965161d065717aee', 'unlocking', 3, 0, 101, 101, '2026-09-01 12:16:26+08', NULL, 'open', 0);
INSERT INTO public.site_sample VALUES (1, 'test', '2026-09-01 11:00:05+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (2, 'test', '2026-09-01 11:00:20+08', 400.52985234396334, 361.50335972676515, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (3, 'test', '2026-09-01 11:00:35+08', 395.2395529150919, 356.4775752693373, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (4, 'test', '2026-09-01 11:00:50+08', 390.0228016398664, 351.521661557873, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (5, 'test', '2026-09-01 11:01:05+08', 384.8785760183363, 346.63464721741946, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (6, 'test', '2026-09-01 11:01:20+08', 379.8058677658112, 341.8155743775206, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (7, 'test', '2026-09-01 11:01:35+08', 374.8036826152344, 337.06349848447263, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (8, 'test', '2026-09-01 11:01:50+08', 369.87104012230304, 332.37748811618786, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (9, 'test', '2026-09-01 11:02:05+08', 365.00697347329617, 327.75662479963137, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (10, 'test', '2026-09-01 11:02:20+08', 360.21052929557925, 323.20000283080026, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (11, 'test', '2026-09-01 11:02:35+08', 355.4807674707396, 318.7067290972026, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (12, 'test', '2026-09-01 11:02:50+08', 350.81676095031685, 314.27592290280097, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (13, 'test', '2026-09-01 11:03:05+08', 598.8491745214699, 549.9067157953964, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (14, 'test', '2026-09-01 11:03:20+08', 594.3139488383254, 545.5982513964091, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (15, 'test', '2026-09-01 11:03:35+08', 589.8417739294991, 541.3496852330242, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (16, 'test', '2026-09-01 11:03:50+08', 585.4317732343906, 537.160184572671, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (17, 'test', '2026-09-01 11:04:05+08', 581.0830823787473, 533.02892825981, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (18, 'test', '2026-09-01 11:04:20+08', 576.7948490052394, 528.9551065549774, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (19, 'test', '2026-09-01 11:04:35+08', 572.5662326063965, 524.9379209760766, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (20, 'test', '2026-09-01 11:04:50+08', 568.396404359868, 520.9765841418746, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (21, 'test', '2026-09-01 11:05:05+08', 564.2845469659683, 517.0703196176698, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (22, 'test', '2026-09-01 11:05:21+08', 559.9615546563782, 512.9634769235593, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (23, 'test', '2026-09-01 11:05:36+08', 555.9669623871307, 509.1686142677741, 2000, 2, 1);
INSERT INTO public.site_sample VALUES (24, 'test', '2026-09-01 11:05:51+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (25, 'test', '2026-09-01 11:06:06+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (26, 'test', '2026-09-01 11:06:21+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (27, 'test', '2026-09-01 11:06:36+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (28, 'test', '2026-09-01 11:06:51+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (29, 'test', '2026-09-01 11:07:06+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (30, 'test', '2026-09-01 11:07:21+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (31, 'test', '2026-09-01 11:07:36+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (32, 'test', '2026-09-01 11:07:51+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (33, 'test', '2026-09-01 11:08:06+08', 272.63157894736844, 240, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (34, 'test', '2026-09-01 11:08:21+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (35, 'test', '2026-09-01 11:08:36+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (36, 'test', '2026-09-01 11:08:51+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (37, 'test', '2026-09-01 11:09:06+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (38, 'test', '2026-09-01 11:09:21+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (39, 'test', '2026-09-01 11:09:36+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (40, 'test', '2026-09-01 11:09:51+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (41, 'test', '2026-09-01 11:10:06+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (42, 'test', '2026-09-01 11:10:21+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (43, 'test', '2026-09-01 11:10:36+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (44, 'test', '2026-09-01 11:10:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (45, 'test', '2026-09-01 11:11:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (46, 'test', '2026-09-01 11:12:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (47, 'test', '2026-09-01 11:13:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (48, 'test', '2026-09-01 11:14:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (49, 'test', '2026-09-01 11:15:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (50, 'test', '2026-09-01 11:16:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (51, 'test', '2026-09-01 11:17:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (52, 'test', '2026-09-01 11:18:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (53, 'test', '2026-09-01 11:19:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (54, 'test', '2026-09-01 11:20:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (55, 'test', '2026-09-01 11:21:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (56, 'test', '2026-09-01 11:22:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (57, 'test', '2026-09-01 11:23:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (58, 'test', '2026-09-01 11:24:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (59, 'test', '2026-09-01 11:25:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (60, 'test', '2026-09-01 11:26:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (61, 'test', '2026-09-01 11:27:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (62, 'test', '2026-09-01 11:28:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (63, 'test', '2026-09-01 11:29:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (64, 'test', '2026-09-01 11:30:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (65, 'test', '2026-09-01 11:31:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (66, 'test', '2026-09-01 11:32:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (67, 'test', '2026-09-01 11:33:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (68, 'test', '2026-09-01 11:34:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (69, 'test', '2026-09-01 11:35:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (70, 'test', '2026-09-01 11:36:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (71, 'test', '2026-09-01 11:37:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (72, 'test', '2026-09-01 11:38:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (73, 'test', '2026-09-01 11:39:52+08', 525.2631578947369, 480, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (74, 'test', '2026-09-01 11:40:52+08', 522.9162325132593, 477.7704208875963, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (75, 'test', '2026-09-01 11:41:52+08', 509.28551400668806, 464.8212383063536, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (76, 'test', '2026-09-01 11:42:52+08', 493.72921820252094, 450.04275729239487, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (77, 'test', '2026-09-01 11:43:52+08', 467.92951562524473, 425.53303984398246, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (78, 'test', '2026-09-01 11:44:52+08', 443.5348871440976, 402.3581427868927, 2000, 1, 0);
INSERT INTO public.site_sample VALUES (79, 'test', '2026-09-01 11:45:52+08', 420.46881120966674, 380.44537064918336, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (80, 'test', '2026-09-01 11:46:52+08', 398.6589337022424, 359.72598701713025, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (81, 'test', '2026-09-01 11:47:52+08', 378.03684096999723, 340.13499892149736, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (82, 'test', '2026-09-01 11:48:52+08', 358.53784522769837, 321.61095296631345, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (83, 'test', '2026-09-01 11:49:52+08', 340.1007816427945, 304.0957425606548, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (84, 'test', '2026-09-01 11:50:52+08', 322.66781647236826, 287.53442564874985, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (85, 'test', '2026-09-01 11:51:52+08', 306.184265649116, 271.8750523666602, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (86, 'test', '2026-09-01 11:52:52+08', 162.78150876259923, 135.64243332446927, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (87, 'test', '2026-09-01 11:53:52+08', 155.00550441651504, 128.25522919568928, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (88, 'test', '2026-09-01 11:54:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (89, 'test', '2026-09-01 11:55:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (90, 'test', '2026-09-01 11:56:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (91, 'test', '2026-09-01 11:57:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (92, 'test', '2026-09-01 11:58:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (93, 'test', '2026-09-01 11:59:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (94, 'test', '2026-09-01 12:00:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (95, 'test', '2026-09-01 12:01:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (96, 'test', '2026-09-01 12:02:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (97, 'test', '2026-09-01 12:03:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (98, 'test', '2026-09-01 12:04:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (99, 'test', '2026-09-01 12:05:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (100, 'test', '2026-09-01 12:06:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (101, 'test', '2026-09-01 12:07:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (102, 'test', '2026-09-01 12:08:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (103, 'test', '2026-09-01 12:09:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (104, 'test', '2026-09-01 12:10:52+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (105, 'test', '2026-09-01 12:11:07+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (106, 'test', '2026-09-01 12:11:22+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (107, 'test', '2026-09-01 12:11:37+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (108, 'test', '2026-09-01 12:11:52+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (109, 'test', '2026-09-01 12:12:07+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (110, 'test', '2026-09-01 12:12:23+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (111, 'test', '2026-09-01 12:12:39+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (112, 'test', '2026-09-01 12:12:55+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (113, 'test', '2026-09-01 12:13:11+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (114, 'test', '2026-09-01 12:13:26+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (115, 'test', '2026-09-01 12:13:41+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (116, 'test', '2026-09-01 12:13:56+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (117, 'test', '2026-09-01 12:14:11+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (118, 'test', '2026-09-01 12:14:26+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (119, 'test', '2026-09-01 12:14:41+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (120, 'test', '2026-09-01 12:14:56+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (121, 'test', '2026-09-01 12:15:14+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (122, 'test', '2026-09-01 12:15:29+08', 20, 0, 2000, 3, 0);
INSERT INTO public.site_sample VALUES (123, 'test', '2026-09-01 12:15:44+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (124, 'test', '2026-09-01 12:15:59+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (125, 'test', '2026-09-01 12:16:14+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (126, 'test', '2026-09-01 12:16:29+08', 20, 0, 2000, 2, 0);
INSERT INTO public.site_sample VALUES (127, 'test', '2026-09-01 12:16:44+08', 20, 0, 2000, 2, 0);
INSERT INTO public.station VALUES ('test', '测试站', 'Test', 'Asia/Shanghai', 'op', 'held', 'estop_ok', '2026-09-01 12:16:27+08', 1191, '{"L1": 31}');
INSERT INTO public.station_event VALUES (1, 'test', '2026-09-01 11:00:00+08', 'station.mode', 'station_file', NULL, NULL, NULL, NULL, NULL, '{"from": null, "to": "automatic", "reason": "first start"}');
INSERT INTO public.station_event VALUES (2, 'test', '2026-09-01 11:00:00+08', 'pack.moved', 'station_file', NULL, '0SXPB280000YQ1G510000001', 'test:A1', NULL, NULL, '{"from": "off_site", "to": "bay:test:A1"}');
INSERT INTO public.station_event VALUES (3, 'test', '2026-09-01 11:00:00+08', 'pack.moved', 'station_file', NULL, '0SXPB280000YQ1G510000002', 'test:A2', NULL, NULL, '{"from": "off_site", "to": "bay:test:A2"}');
INSERT INTO public.station_event VALUES (4, 'test', '2026-09-01 11:00:00+08', 'pack.moved', 'station_file', NULL, '0SXPB280000YQ1G510000003', 'test:A3', NULL, NULL, '{"from": "off_site", "to": "bay:test:A3"}');
INSERT INTO public.station_event VALUES (5, 'test', '2026-09-01 11:00:00+08', 'pack.moved', 'station_file', NULL, '0SXPB280000YQ1G510000011', NULL, NULL, NULL, '{"from": "off_site", "to": "vehicle:V1:1"}');
INSERT INTO public.station_event VALUES (6, 'test', '2026-09-01 11:00:00+08', 'pack.moved', 'station_file', NULL, '0SXPB280000YQ1G510000012', NULL, NULL, NULL, '{"from": "off_site", "to": "vehicle:V2:1"}');
INSERT INTO public.station_event VALUES (7, 'test', '2026-09-01 11:00:00+08', 'pack.moved', 'station_file', NULL, '0SXPB280000YQ1G510000013', NULL, NULL, NULL, '{"from": "off_site", "to": "vehicle:V3:1"}');
INSERT INTO public.station_event VALUES (8, 'test', '2026-09-01 11:00:00+08', 'pack.moved', 'station_file', NULL, '0SXPB280000YQ1G510000014', NULL, NULL, NULL, '{"from": "off_site", "to": "vehicle:V4:1"}');
INSERT INTO public.station_event VALUES (9, 'test', '2026-09-01 11:00:00+08', 'controller.started', 'controller', NULL, NULL, NULL, NULL, NULL, '{"holder": "vm:12748:69f38cea", "unclean": false}');
INSERT INTO public.station_event VALUES (10, 'test', '2026-09-01 11:00:05+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000001', 'test:A1', NULL, NULL, '{"from": "received", "to": "identified", "trigger": "identify"}');
INSERT INTO public.station_event VALUES (11, 'test', '2026-09-01 11:00:05+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000001', 'test:A1', NULL, NULL, '{"from": "identified", "to": "ready", "trigger": "ready"}');
INSERT INTO public.station_event VALUES (12, 'test', '2026-09-01 11:00:05+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000002', 'test:A2', NULL, NULL, '{"from": "received", "to": "identified", "trigger": "identify"}');
INSERT INTO public.station_event VALUES (13, 'test', '2026-09-01 11:00:05+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000002', 'test:A2', NULL, NULL, '{"from": "identified", "to": "ready", "trigger": "ready"}');
INSERT INTO public.station_event VALUES (14, 'test', '2026-09-01 11:00:05+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000003', 'test:A3', NULL, NULL, '{"from": "received", "to": "identified", "trigger": "identify"}');
INSERT INTO public.station_event VALUES (15, 'test', '2026-09-01 11:00:05+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000003', 'test:A3', NULL, NULL, '{"from": "identified", "to": "ready", "trigger": "ready"}');
INSERT INTO public.station_event VALUES (16, 'test', '2026-09-01 11:00:05+08', 'station.reconciled', 'controller', NULL, NULL, NULL, NULL, NULL, '{"examined": 7, "mismatches": []}');
INSERT INTO public.station_event VALUES (17, 'test', '2026-09-01 11:00:05+08', 'booking.made', 'api', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a963fb532e89a9b8c", "vehicle_id": "V1", "window_start_at": "2026-09-01T03:00:05+00:00", "window_end_at": "2026-09-01T03:30:05+00:00"}');
INSERT INTO public.station_event VALUES (18, 'test', '2026-09-01 11:00:05+08', 'booking.made', 'api', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a963fb5749d3f0d69", "vehicle_id": "V4", "window_start_at": "2026-09-01T03:45:05+00:00", "window_end_at": "2026-09-01T04:15:05+00:00"}');
INSERT INTO public.station_event VALUES (19, 'test', '2026-09-01 11:00:05+08', 'booking.ended', 'controller', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a963fb5749d3f0d69", "status": "cancelled", "reason": "changed plans"}');
INSERT INTO public.station_event VALUES (20, 'test', '2026-09-01 11:00:05+08', 'booking.made', 'api', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a963fb5f3e0914f8b", "vehicle_id": "V4", "window_start_at": "2026-09-01T03:00:05+00:00", "window_end_at": "2026-09-01T03:15:05+00:00"}');
INSERT INTO public.station_event VALUES (21, 'test', '2026-09-01 11:00:05+08', 'swap.queued', 'api', 'sw-6a963fb52d9199b8a8', NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a963fb532e89a9b8c", "seats": 1, "vehicle_id": "V1"}');
INSERT INTO public.station_event VALUES (22, 'test', '2026-09-01 11:00:06+08', 'charge.started', 'controller', NULL, '0SXPB280000YQ1G510000001', 'test:A1', NULL, NULL, '{"energy_kwh": 253.849, "meter_kwh": 0.0508929129461914}');
INSERT INTO public.station_event VALUES (23, 'test', '2026-09-01 11:00:06+08', 'charge.started', 'controller', NULL, '0SXPB280000YQ1G510000002', 'test:A2', NULL, NULL, '{"energy_kwh": 253.849, "meter_kwh": 0.0508929129461914}');
INSERT INTO public.station_event VALUES (24, 'test', '2026-09-01 11:00:06+08', 'charge.started', 'controller', NULL, '0SXPB280000YQ1G510000003', 'test:A3', NULL, NULL, '{"energy_kwh": 253.849, "meter_kwh": 0.0508929129461914}');
INSERT INTO public.station_event VALUES (25, 'test', '2026-09-01 11:00:06+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000001', 'test:A1', NULL, NULL, '{"from": "ready", "to": "reserved", "trigger": "reserve"}');
INSERT INTO public.station_event VALUES (26, 'test', '2026-09-01 11:00:06+08', 'swap.dispatched', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "admitting", "swap_order": "out_in", "packs": ["0SXPB280000YQ1G510000001"], "from": ["A1"], "to": ["A4"]}');
INSERT INTO public.station_event VALUES (27, 'test', '2026-09-01 11:00:07+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "admitting", "seq": 1, "command": "ADMIT", "tries": 0}');
INSERT INTO public.station_event VALUES (28, 'test', '2026-09-01 11:00:11+08', 'charge.ended', 'controller', NULL, '0SXPB280000YQ1G510000001', 'test:A1', NULL, NULL, '{"gained_kwh": 0.195, "meter_kwh": 0.25399022852171294}');
INSERT INTO public.station_event VALUES (29, 'test', '2026-09-01 11:00:50+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "admitting", "next": "checking", "seq": 1, "took_s": 44.0}');
INSERT INTO public.station_event VALUES (30, 'test', '2026-09-01 11:00:51+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "authorised", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (31, 'test', '2026-09-01 11:00:51+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "record", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (32, 'test', '2026-09-01 11:00:51+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "pack_available", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (33, 'test', '2026-09-01 11:00:51+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "vehicle_link", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (34, 'test', '2026-09-01 11:00:51+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "checking", "next": "locating", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (35, 'test', '2026-09-01 11:00:52+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "locating", "seq": 2, "command": "LOCATE", "tries": 0}');
INSERT INTO public.station_event VALUES (36, 'test', '2026-09-01 11:01:00+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "locating", "next": "verifying", "seq": 2, "took_s": 9.0}');
INSERT INTO public.station_event VALUES (37, 'test', '2026-09-01 11:01:01+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "position", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (38, 'test', '2026-09-01 11:01:01+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "old_pack", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (39, 'test', '2026-09-01 11:01:01+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "new_pack_accepted", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (40, 'test', '2026-09-01 11:01:01+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "new_pack_power_off", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (41, 'test', '2026-09-01 11:01:01+08', 'swap.check', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"check": "robot_ready", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (42, 'test', '2026-09-01 11:01:01+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "verifying", "next": "unlocking", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (43, 'test', '2026-09-01 11:01:02+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "seq": 3, "command": "UNLOCK", "tries": 0}');
INSERT INTO public.station_event VALUES (44, 'test', '2026-09-01 11:01:12+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "next": "lifting_old", "seq": 3, "took_s": 11.0}');
INSERT INTO public.station_event VALUES (45, 'test', '2026-09-01 11:01:13+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "lifting_old", "seq": 4, "command": "PICK", "tries": 0}');
INSERT INTO public.station_event VALUES (46, 'test', '2026-09-01 11:02:01+08', 'pack.moved', 'controller', 'sw-6a963fb52d9199b8a8', '0SXPB280000YQ1G510000011', NULL, 'L1', NULL, '{"from": "vehicle:V1:1", "to": "gripper:test:L1"}');
INSERT INTO public.station_event VALUES (47, 'test', '2026-09-01 11:02:01+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000011', NULL, NULL, NULL, '{"from": "on_vehicle", "to": "picked", "trigger": "pick"}');
INSERT INTO public.station_event VALUES (48, 'test', '2026-09-01 11:02:01+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "lifting_old", "next": "storing_old", "seq": 4, "took_s": 49.0}');
INSERT INTO public.station_event VALUES (49, 'test', '2026-09-01 11:02:02+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "storing_old", "seq": 5, "command": "PUT", "tries": 0}');
INSERT INTO public.station_event VALUES (50, 'test', '2026-09-01 11:02:48+08', 'pack.moved', 'controller', 'sw-6a963fb52d9199b8a8', '0SXPB280000YQ1G510000011', 'test:A4', 'L1', NULL, '{"from": "gripper:test:L1", "to": "bay:test:A4"}');
INSERT INTO public.station_event VALUES (51, 'test', '2026-09-01 11:02:48+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"from": "picked", "to": "received", "trigger": "store"}');
INSERT INTO public.station_event VALUES (52, 'test', '2026-09-01 11:02:48+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "storing_old", "next": "fetching_new", "seq": 5, "took_s": 47.0}');
INSERT INTO public.station_event VALUES (53, 'test', '2026-09-01 11:02:49+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "fetching_new", "seq": 6, "command": "PICK", "tries": 0}');
INSERT INTO public.station_event VALUES (54, 'test', '2026-09-01 11:02:49+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"from": "received", "to": "identified", "trigger": "identify"}');
INSERT INTO public.station_event VALUES (55, 'test', '2026-09-01 11:02:49+08', 'pack.reading', 'controller', 'sw-6a963fb52d9199b8a8', '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"energy_kwh": 84.6, "soc_pct": 30.0, "soh_pct": 100.0, "temp_max_c": 20.0}');
INSERT INTO public.station_event VALUES (56, 'test', '2026-09-01 11:02:49+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"from": "identified", "to": "waiting", "trigger": "wait"}');
INSERT INTO public.station_event VALUES (57, 'test', '2026-09-01 11:02:51+08', 'charge.started', 'controller', NULL, '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"energy_kwh": 84.664, "meter_kwh": 0.06666666666665932}');
INSERT INTO public.station_event VALUES (58, 'test', '2026-09-01 11:02:51+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"from": "waiting", "to": "charging", "trigger": "charge"}');
INSERT INTO public.station_event VALUES (59, 'test', '2026-09-01 11:03:36+08', 'pack.moved', 'controller', 'sw-6a963fb52d9199b8a8', '0SXPB280000YQ1G510000001', NULL, 'L1', NULL, '{"from": "bay:test:A1", "to": "gripper:test:L1"}');
INSERT INTO public.station_event VALUES (60, 'test', '2026-09-01 11:03:36+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000001', NULL, NULL, NULL, '{"from": "reserved", "to": "picked", "trigger": "pick"}');
INSERT INTO public.station_event VALUES (61, 'test', '2026-09-01 11:03:36+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "fetching_new", "next": "placing_new", "seq": 6, "took_s": 48.0}');
INSERT INTO public.station_event VALUES (62, 'test', '2026-09-01 11:03:37+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "placing_new", "seq": 7, "command": "PUT", "tries": 0}');
INSERT INTO public.station_event VALUES (63, 'test', '2026-09-01 11:04:21+08', 'pack.moved', 'controller', 'sw-6a963fb52d9199b8a8', '0SXPB280000YQ1G510000001', NULL, 'L1', NULL, '{"from": "gripper:test:L1", "to": "vehicle:V1:1"}');
INSERT INTO public.station_event VALUES (64, 'test', '2026-09-01 11:04:21+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000001', NULL, NULL, NULL, '{"from": "picked", "to": "on_vehicle", "trigger": "install"}');
INSERT INTO public.station_event VALUES (65, 'test', '2026-09-01 11:04:21+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "placing_new", "next": "locking", "seq": 7, "took_s": 45.0}');
INSERT INTO public.station_event VALUES (66, 'test', '2026-09-01 11:04:22+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "locking", "seq": 8, "command": "LOCK", "tries": 0}');
INSERT INTO public.station_event VALUES (67, 'test', '2026-09-01 11:04:35+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "locking", "next": "accepting", "seq": 8, "took_s": 14.0}');
INSERT INTO public.station_event VALUES (68, 'test', '2026-09-01 11:04:36+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "accepting", "next": "homing", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (69, 'test', '2026-09-01 11:04:37+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "homing", "seq": 9, "command": "HOME", "tries": 0}');
INSERT INTO public.station_event VALUES (70, 'test', '2026-09-01 11:04:53+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "homing", "next": "releasing", "seq": 9, "took_s": 17.0}');
INSERT INTO public.station_event VALUES (71, 'test', '2026-09-01 11:04:54+08', 'swap.step_started', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "releasing", "seq": 10, "command": "RELEASE", "tries": 0}');
INSERT INTO public.station_event VALUES (72, 'test', '2026-09-01 11:05:16+08', 'swap.step_done', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"state": "releasing", "next": "completed", "seq": 10, "took_s": 23.0}');
INSERT INTO public.station_event VALUES (73, 'test', '2026-09-01 11:05:16+08', 'swap.completed', 'controller', 'sw-6a963fb52d9199b8a8', NULL, NULL, 'L1', NULL, '{"seats": 1, "exchanged": [1]}');
INSERT INTO public.station_event VALUES (74, 'test', '2026-09-01 11:05:16+08', 'bill.issued', 'commerce', 'sw-6a963fb52d9199b8a8', NULL, NULL, NULL, 73, '{"bill_id": "bl-6a9640ecb36f5fa767", "kind": "swap", "total_fen": 2090, "flags": ["first_swap"]}');
INSERT INTO public.station_event VALUES (75, 'test', '2026-09-01 11:05:16+08', 'booking.ended', 'commerce', 'sw-6a963fb52d9199b8a8', NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a963fb532e89a9b8c", "status": "fulfilled", "reason": "completed"}');
INSERT INTO public.station_event VALUES (76, 'test', '2026-09-01 11:05:26+08', 'bill.reversed', 'Wang', 'sw-6a963fb52d9199b8a8', NULL, NULL, NULL, NULL, '{"bill_id": "bl-6a9640f6562c32747f", "reverses": "bl-6a9640ecb36f5fa767", "total_fen": -2090, "reason": "read again"}');
INSERT INTO public.station_event VALUES (77, 'test', '2026-09-01 11:05:26+08', 'bill.issued', 'Wang', 'sw-6a963fb52d9199b8a8', NULL, NULL, NULL, NULL, '{"bill_id": "bl-6a9640f64e392f1fef", "kind": "correction", "total_fen": 2089, "flags": ["first_swap"]}');
INSERT INTO public.station_event VALUES (78, 'test', '2026-09-01 11:05:26+08', 'booking.made', 'api', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a9640f6d99795976c", "vehicle_id": "V2", "window_start_at": "2026-09-01T03:05:26+00:00", "window_end_at": "2026-09-01T03:35:26+00:00"}');
INSERT INTO public.station_event VALUES (79, 'test', '2026-09-01 11:05:29+08', 'station.mode', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"from": "automatic", "to": "held", "trigger": "hold", "reason": "\u6d82\u88c5 painting"}');
INSERT INTO public.station_event VALUES (80, 'test', '2026-09-01 11:05:29+08', 'request.answered', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"request_id": 1, "kind": "hold", "status": "done", "answer": "held"}');
INSERT INTO public.station_event VALUES (81, 'test', '2026-09-01 11:05:29+08', 'swap.queued', 'api', 'sw-6a9640f97fbb751720', NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a9640f6d99795976c", "seats": 1, "vehicle_id": "V2"}');
INSERT INTO public.station_event VALUES (82, 'test', '2026-09-01 11:05:32+08', 'swap.cancelled', '李 Li', 'sw-6a9640f97fbb751720', NULL, NULL, NULL, NULL, '{"seats": 0, "reason": "cancelled by a person"}');
INSERT INTO public.station_event VALUES (83, 'test', '2026-09-01 11:05:32+08', 'request.answered', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"request_id": 2, "kind": "cancel_swap", "status": "done", "answer": "cancelled"}');
INSERT INTO public.station_event VALUES (84, 'test', '2026-09-01 11:05:32+08', 'request.answered', 'controller', NULL, NULL, NULL, NULL, NULL, '{"request_id": 3, "kind": "release_bay", "status": "refused", "answer": "no bay ''A9''"}');
INSERT INTO public.station_event VALUES (85, 'test', '2026-09-01 11:05:32+08', 'booking.ended', 'commerce', 'sw-6a9640f97fbb751720', NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a9640f6d99795976c", "status": "failed", "reason": "cancelled by \u674e Li"}');
INSERT INTO public.station_event VALUES (86, 'test', '2026-09-01 11:05:35+08', 'station.reconciled', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"examined": 7, "mismatches": []}');
INSERT INTO public.station_event VALUES (87, 'test', '2026-09-01 11:05:35+08', 'station.mode', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"from": "held", "to": "automatic", "trigger": "confirm", "reason": "confirmed"}');
INSERT INTO public.station_event VALUES (88, 'test', '2026-09-01 11:05:35+08', 'request.answered', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"request_id": 4, "kind": "confirm", "status": "done", "answer": "going on"}');
INSERT INTO public.station_event VALUES (89, 'test', '2026-09-01 11:05:35+08', 'swap.queued', 'api', 'sw-6a9640fffc18fa985f', NULL, NULL, NULL, NULL, '{"booking_id": null, "seats": 1, "vehicle_id": "V2"}');
INSERT INTO public.station_event VALUES (90, 'test', '2026-09-01 11:05:36+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000002', 'test:A2', NULL, NULL, '{"from": "ready", "to": "reserved", "trigger": "reserve"}');
INSERT INTO public.station_event VALUES (91, 'test', '2026-09-01 11:05:36+08', 'swap.dispatched', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "admitting", "swap_order": "out_in", "packs": ["0SXPB280000YQ1G510000002"], "from": ["A2"], "to": ["A1"]}');
INSERT INTO public.station_event VALUES (92, 'test', '2026-09-01 11:05:37+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "admitting", "seq": 11, "command": "ADMIT", "tries": 0}');
INSERT INTO public.station_event VALUES (93, 'test', '2026-09-01 11:05:38+08', 'charge.ended', 'controller', NULL, '0SXPB280000YQ1G510000002', 'test:A2', NULL, NULL, '{"gained_kwh": 13.906, "meter_kwh": 14.536085203986458}');
INSERT INTO public.station_event VALUES (94, 'test', '2026-09-01 11:05:43+08', 'charge.ended', 'controller', NULL, '0SXPB280000YQ1G510000003', 'test:A3', NULL, NULL, '{"gained_kwh": 14.085, "meter_kwh": 14.722398404110372}');
INSERT INTO public.station_event VALUES (95, 'test', '2026-09-01 11:06:17+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "admitting", "next": "checking", "seq": 11, "took_s": 41.0}');
INSERT INTO public.station_event VALUES (96, 'test', '2026-09-01 11:06:18+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "authorised", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (97, 'test', '2026-09-01 11:06:18+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "record", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (98, 'test', '2026-09-01 11:06:18+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "pack_available", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (99, 'test', '2026-09-01 11:06:18+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "vehicle_link", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (100, 'test', '2026-09-01 11:06:18+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "checking", "next": "locating", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (101, 'test', '2026-09-01 11:06:19+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "locating", "seq": 12, "command": "LOCATE", "tries": 0}');
INSERT INTO public.station_event VALUES (102, 'test', '2026-09-01 11:06:27+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "locating", "next": "verifying", "seq": 12, "took_s": 9.0}');
INSERT INTO public.station_event VALUES (103, 'test', '2026-09-01 11:06:28+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "position", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (104, 'test', '2026-09-01 11:06:28+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "old_pack", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (105, 'test', '2026-09-01 11:06:28+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "new_pack_accepted", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (106, 'test', '2026-09-01 11:06:28+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "new_pack_power_off", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (107, 'test', '2026-09-01 11:06:28+08', 'swap.check', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"check": "robot_ready", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (108, 'test', '2026-09-01 11:06:28+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "verifying", "next": "unlocking", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (109, 'test', '2026-09-01 11:06:29+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "seq": 13, "command": "UNLOCK", "tries": 0}');
INSERT INTO public.station_event VALUES (110, 'test', '2026-09-01 11:06:40+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "next": "lifting_old", "seq": 13, "took_s": 12.0}');
INSERT INTO public.station_event VALUES (111, 'test', '2026-09-01 11:06:41+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "lifting_old", "seq": 14, "command": "PICK", "tries": 0}');
INSERT INTO public.station_event VALUES (112, 'test', '2026-09-01 11:07:23+08', 'pack.moved', 'controller', 'sw-6a9640fffc18fa985f', '0SXPB280000YQ1G510000012', NULL, 'L1', NULL, '{"from": "vehicle:V2:1", "to": "gripper:test:L1"}');
INSERT INTO public.station_event VALUES (113, 'test', '2026-09-01 11:07:23+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', NULL, NULL, NULL, '{"from": "on_vehicle", "to": "picked", "trigger": "pick"}');
INSERT INTO public.station_event VALUES (114, 'test', '2026-09-01 11:07:23+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "lifting_old", "next": "storing_old", "seq": 14, "took_s": 43.0}');
INSERT INTO public.station_event VALUES (115, 'test', '2026-09-01 11:07:24+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "storing_old", "seq": 15, "command": "PUT", "tries": 0}');
INSERT INTO public.station_event VALUES (116, 'test', '2026-09-01 11:08:10+08', 'pack.moved', 'controller', 'sw-6a9640fffc18fa985f', '0SXPB280000YQ1G510000012', 'test:A1', 'L1', NULL, '{"from": "gripper:test:L1", "to": "bay:test:A1"}');
INSERT INTO public.station_event VALUES (117, 'test', '2026-09-01 11:08:10+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "picked", "to": "received", "trigger": "store"}');
INSERT INTO public.station_event VALUES (118, 'test', '2026-09-01 11:08:10+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "storing_old", "next": "fetching_new", "seq": 15, "took_s": 47.0}');
INSERT INTO public.station_event VALUES (119, 'test', '2026-09-01 11:08:11+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "fetching_new", "seq": 16, "command": "PICK", "tries": 0}');
INSERT INTO public.station_event VALUES (120, 'test', '2026-09-01 11:08:11+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "received", "to": "identified", "trigger": "identify"}');
INSERT INTO public.station_event VALUES (121, 'test', '2026-09-01 11:08:11+08', 'pack.reading', 'controller', 'sw-6a9640fffc18fa985f', '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"energy_kwh": 112.8, "soc_pct": 40.0, "soh_pct": 100.0, "temp_max_c": 20.0}');
INSERT INTO public.station_event VALUES (122, 'test', '2026-09-01 11:08:11+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "identified", "to": "waiting", "trigger": "wait"}');
INSERT INTO public.station_event VALUES (123, 'test', '2026-09-01 11:08:13+08', 'charge.started', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"energy_kwh": 112.864, "meter_kwh": 0.32065689518837226}');
INSERT INTO public.station_event VALUES (124, 'test', '2026-09-01 11:08:13+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "waiting", "to": "charging", "trigger": "charge"}');
INSERT INTO public.station_event VALUES (125, 'test', '2026-09-01 11:09:00+08', 'pack.moved', 'controller', 'sw-6a9640fffc18fa985f', '0SXPB280000YQ1G510000002', NULL, 'L1', NULL, '{"from": "bay:test:A2", "to": "gripper:test:L1"}');
INSERT INTO public.station_event VALUES (126, 'test', '2026-09-01 11:09:00+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000002', NULL, NULL, NULL, '{"from": "reserved", "to": "picked", "trigger": "pick"}');
INSERT INTO public.station_event VALUES (127, 'test', '2026-09-01 11:09:00+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "fetching_new", "next": "placing_new", "seq": 16, "took_s": 50.0}');
INSERT INTO public.station_event VALUES (128, 'test', '2026-09-01 11:09:01+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "placing_new", "seq": 17, "command": "PUT", "tries": 0}');
INSERT INTO public.station_event VALUES (129, 'test', '2026-09-01 11:09:50+08', 'pack.moved', 'controller', 'sw-6a9640fffc18fa985f', '0SXPB280000YQ1G510000002', NULL, 'L1', NULL, '{"from": "gripper:test:L1", "to": "vehicle:V2:1"}');
INSERT INTO public.station_event VALUES (130, 'test', '2026-09-01 11:09:50+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000002', NULL, NULL, NULL, '{"from": "picked", "to": "on_vehicle", "trigger": "install"}');
INSERT INTO public.station_event VALUES (131, 'test', '2026-09-01 11:09:50+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "placing_new", "next": "locking", "seq": 17, "took_s": 50.0}');
INSERT INTO public.station_event VALUES (132, 'test', '2026-09-01 11:09:51+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "locking", "seq": 18, "command": "LOCK", "tries": 0}');
INSERT INTO public.station_event VALUES (133, 'test', '2026-09-01 11:10:03+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "locking", "next": "accepting", "seq": 18, "took_s": 13.0}');
INSERT INTO public.station_event VALUES (134, 'test', '2026-09-01 11:10:04+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "accepting", "next": "homing", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (135, 'test', '2026-09-01 11:10:05+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "homing", "seq": 19, "command": "HOME", "tries": 0}');
INSERT INTO public.station_event VALUES (136, 'test', '2026-09-01 11:10:21+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "homing", "next": "releasing", "seq": 19, "took_s": 17.0}');
INSERT INTO public.station_event VALUES (137, 'test', '2026-09-01 11:10:22+08', 'swap.step_started', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "releasing", "seq": 20, "command": "RELEASE", "tries": 0}');
INSERT INTO public.station_event VALUES (138, 'test', '2026-09-01 11:10:42+08', 'swap.step_done', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"state": "releasing", "next": "completed", "seq": 20, "took_s": 21.0}');
INSERT INTO public.station_event VALUES (139, 'test', '2026-09-01 11:10:42+08', 'swap.completed', 'controller', 'sw-6a9640fffc18fa985f', NULL, NULL, 'L1', NULL, '{"seats": 1, "exchanged": [1]}');
INSERT INTO public.station_event VALUES (140, 'test', '2026-09-01 11:10:42+08', 'bill.issued', 'commerce', 'sw-6a9640fffc18fa985f', NULL, NULL, NULL, 139, '{"bill_id": "bl-6a9642324a9d15e436", "kind": "swap", "total_fen": 0, "flags": ["first_swap"]}');
INSERT INTO public.station_event VALUES (141, 'test', '2026-09-01 11:10:52+08', 'bill.reversed', '李 Li', 'sw-6a9640fffc18fa985f', NULL, NULL, NULL, NULL, '{"bill_id": "bl-6a96423c89874e18a6", "reverses": "bl-6a9642324a9d15e436", "total_fen": 0, "reason": "goodwill"}');
INSERT INTO public.station_event VALUES (142, 'test', '2026-09-01 11:45:52+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "charging", "to": "ready", "trigger": "ready"}');
INSERT INTO public.station_event VALUES (143, 'test', '2026-09-01 11:45:52+08', 'booking.ended', 'commerce', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a963fb5f3e0914f8b", "status": "expired", "reason": "the truck did not come"}');
INSERT INTO public.station_event VALUES (144, 'test', '2026-09-01 11:47:52+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"from": "charging", "to": "ready", "trigger": "ready"}');
INSERT INTO public.station_event VALUES (145, 'test', '2026-09-01 11:52:52+08', 'charge.ended', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"gained_kwh": 156.616, "meter_kwh": 163.46234467307417}');
INSERT INTO public.station_event VALUES (146, 'test', '2026-09-01 11:54:52+08', 'charge.ended', 'controller', NULL, '0SXPB280000YQ1G510000011', 'test:A4', NULL, NULL, '{"gained_kwh": 184.863, "meter_kwh": 192.63237226318782}');
INSERT INTO public.station_event VALUES (147, 'test', '2026-09-01 12:10:52+08', 'booking.made', 'api', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a96504c3aff520c96", "vehicle_id": "V3", "window_start_at": "2026-09-01T04:10:52+00:00", "window_end_at": "2026-09-01T04:40:52+00:00"}');
INSERT INTO public.station_event VALUES (148, 'test', '2026-09-01 12:10:52+08', 'swap.queued', 'api', 'sw-6a96504cac7ad426d7', NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a96504c3aff520c96", "seats": 1, "vehicle_id": "V3"}');
INSERT INTO public.station_event VALUES (149, 'test', '2026-09-01 12:10:53+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "ready", "to": "reserved", "trigger": "reserve"}');
INSERT INTO public.station_event VALUES (150, 'test', '2026-09-01 12:10:53+08', 'swap.dispatched', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "admitting", "swap_order": "out_in", "packs": ["0SXPB280000YQ1G510000012"], "from": ["A1"], "to": ["A2"]}');
INSERT INTO public.station_event VALUES (151, 'test', '2026-09-01 12:10:54+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "admitting", "seq": 21, "command": "ADMIT", "tries": 0}');
INSERT INTO public.station_event VALUES (152, 'test', '2026-09-01 12:11:36+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "admitting", "next": "checking", "seq": 21, "took_s": 43.0}');
INSERT INTO public.station_event VALUES (153, 'test', '2026-09-01 12:11:37+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "authorised", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (154, 'test', '2026-09-01 12:11:37+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "record", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (155, 'test', '2026-09-01 12:11:37+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "pack_available", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (156, 'test', '2026-09-01 12:11:37+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "vehicle_link", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (157, 'test', '2026-09-01 12:11:37+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "checking", "next": "locating", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (158, 'test', '2026-09-01 12:11:38+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "locating", "seq": 22, "command": "LOCATE", "tries": 0}');
INSERT INTO public.station_event VALUES (159, 'test', '2026-09-01 12:11:46+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "locating", "next": "verifying", "seq": 22, "took_s": 9.0}');
INSERT INTO public.station_event VALUES (160, 'test', '2026-09-01 12:11:47+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "position", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (161, 'test', '2026-09-01 12:11:47+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "old_pack", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (162, 'test', '2026-09-01 12:11:47+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "new_pack_accepted", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (163, 'test', '2026-09-01 12:11:47+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "new_pack_power_off", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (164, 'test', '2026-09-01 12:11:47+08', 'swap.check', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"check": "robot_ready", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (165, 'test', '2026-09-01 12:11:47+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "verifying", "next": "unlocking", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (166, 'test', '2026-09-01 12:11:48+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "seq": 23, "command": "UNLOCK", "tries": 0}');
INSERT INTO public.station_event VALUES (167, 'test', '2026-09-01 12:11:58+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "next": "lifting_old", "seq": 23, "took_s": 11.0}');
INSERT INTO public.station_event VALUES (168, 'test', '2026-09-01 12:11:59+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "lifting_old", "seq": 24, "command": "PICK", "tries": 0}');
INSERT INTO public.station_event VALUES (169, 'test', '2026-09-01 12:12:01+08', 'station.mode', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"from": "automatic", "to": "held", "trigger": "hold", "reason": "asked"}');
INSERT INTO public.station_event VALUES (170, 'test', '2026-09-01 12:12:01+08', 'request.answered', '李 Li', NULL, NULL, NULL, NULL, NULL, '{"request_id": 5, "kind": "hold", "status": "done", "answer": "held"}');
INSERT INTO public.station_event VALUES (171, 'test', '2026-09-01 12:12:03+08', 'swap.held', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "lifting_old", "reason": "mode", "mode": "held"}');
INSERT INTO public.station_event VALUES (172, 'test', '2026-09-01 12:13:24+08', 'pack.moved', 'controller', 'sw-6a96504cac7ad426d7', '0SXPB280000YQ1G510000013', NULL, 'L1', NULL, '{"from": "vehicle:V3:1", "to": "gripper:test:L1"}');
INSERT INTO public.station_event VALUES (173, 'test', '2026-09-01 12:13:24+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000013', NULL, NULL, NULL, '{"from": "on_vehicle", "to": "picked", "trigger": "pick"}');
INSERT INTO public.station_event VALUES (174, 'test', '2026-09-01 12:13:24+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "lifting_old", "next": "storing_old", "seq": 24, "took_s": 86.0}');
INSERT INTO public.station_event VALUES (175, 'test', '2026-09-01 12:13:24+08', 'swap.resumed', 'Wang', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "storing_old", "decision": "unwind", "next": "replacing_old"}');
INSERT INTO public.station_event VALUES (176, 'test', '2026-09-01 12:13:24+08', 'request.answered', 'Wang', NULL, NULL, NULL, NULL, NULL, '{"request_id": 6, "kind": "decide", "status": "done", "answer": "unwind"}');
INSERT INTO public.station_event VALUES (177, 'test', '2026-09-01 12:13:25+08', 'station.reconciled', 'Wang', NULL, NULL, NULL, NULL, NULL, '{"examined": 7, "mismatches": []}');
INSERT INTO public.station_event VALUES (178, 'test', '2026-09-01 12:13:25+08', 'station.mode', 'Wang', NULL, NULL, NULL, NULL, NULL, '{"from": "held", "to": "automatic", "trigger": "confirm", "reason": "confirmed"}');
INSERT INTO public.station_event VALUES (179, 'test', '2026-09-01 12:13:25+08', 'swap.resumed', 'Wang', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "replacing_old", "decision": "continue", "next": "replacing_old"}');
INSERT INTO public.station_event VALUES (180, 'test', '2026-09-01 12:13:25+08', 'request.answered', 'Wang', NULL, NULL, NULL, NULL, NULL, '{"request_id": 7, "kind": "confirm", "status": "done", "answer": "going on"}');
INSERT INTO public.station_event VALUES (181, 'test', '2026-09-01 12:13:26+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "replacing_old", "seq": 25, "command": "PUT", "tries": 0}');
INSERT INTO public.station_event VALUES (182, 'test', '2026-09-01 12:14:07+08', 'pack.moved', 'controller', 'sw-6a96504cac7ad426d7', '0SXPB280000YQ1G510000013', NULL, 'L1', NULL, '{"from": "gripper:test:L1", "to": "vehicle:V3:1"}');
INSERT INTO public.station_event VALUES (183, 'test', '2026-09-01 12:14:07+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000013', NULL, NULL, NULL, '{"from": "picked", "to": "on_vehicle", "trigger": "install"}');
INSERT INTO public.station_event VALUES (184, 'test', '2026-09-01 12:14:07+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "replacing_old", "next": "relocking", "seq": 25, "took_s": 43.0}');
INSERT INTO public.station_event VALUES (185, 'test', '2026-09-01 12:14:08+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "relocking", "seq": 26, "command": "LOCK", "tries": 0}');
INSERT INTO public.station_event VALUES (186, 'test', '2026-09-01 12:14:20+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "relocking", "next": "homing_back", "seq": 26, "took_s": 13.0}');
INSERT INTO public.station_event VALUES (187, 'test', '2026-09-01 12:14:21+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "homing_back", "seq": 27, "command": "HOME", "tries": 0}');
INSERT INTO public.station_event VALUES (188, 'test', '2026-09-01 12:14:36+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "homing_back", "next": "releasing_back", "seq": 27, "took_s": 16.0}');
INSERT INTO public.station_event VALUES (189, 'test', '2026-09-01 12:14:37+08', 'swap.step_started', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "releasing_back", "seq": 28, "command": "RELEASE", "tries": 0}');
INSERT INTO public.station_event VALUES (190, 'test', '2026-09-01 12:14:59+08', 'swap.step_done', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"state": "releasing_back", "next": "returned", "seq": 28, "took_s": 23.0}');
INSERT INTO public.station_event VALUES (191, 'test', '2026-09-01 12:14:59+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "reserved", "to": "ready", "trigger": "unreserve"}');
INSERT INTO public.station_event VALUES (192, 'test', '2026-09-01 12:14:59+08', 'swap.returned', 'controller', 'sw-6a96504cac7ad426d7', NULL, NULL, 'L1', NULL, '{"seats": 0, "exchanged": []}');
INSERT INTO public.station_event VALUES (193, 'test', '2026-09-01 12:14:59+08', 'booking.ended', 'commerce', 'sw-6a96504cac7ad426d7', NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a96504c3aff520c96", "status": "failed", "reason": "returned"}');
INSERT INTO public.station_event VALUES (194, 'test', '2026-09-01 12:15:29+08', 'booking.made', 'api', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a965161e2a3741727", "vehicle_id": "V4", "window_start_at": "2026-09-01T06:15:29+00:00", "window_end_at": "2026-09-01T06:45:29+00:00"}');
INSERT INTO public.station_event VALUES (195, 'test', '2026-09-01 12:15:29+08', 'booking.made', 'api', NULL, NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a96516196d4175f0e", "vehicle_id": "V1", "window_start_at": "2026-09-01T04:15:29+00:00", "window_end_at": "2026-09-01T04:45:29+00:00"}');
INSERT INTO public.station_event VALUES (196, 'test', '2026-09-01 12:15:29+08', 'swap.queued', 'api', 'sw-6a965161d065717aee', NULL, NULL, NULL, NULL, '{"booking_id": "bk-6a96516196d4175f0e", "seats": 1, "vehicle_id": "V1"}');
INSERT INTO public.station_event VALUES (197, 'test', '2026-09-01 12:15:30+08', 'pack.state', 'controller', NULL, '0SXPB280000YQ1G510000012', 'test:A1', NULL, NULL, '{"from": "ready", "to": "reserved", "trigger": "reserve"}');
INSERT INTO public.station_event VALUES (198, 'test', '2026-09-01 12:15:30+08', 'swap.dispatched', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "admitting", "swap_order": "out_in", "packs": ["0SXPB280000YQ1G510000012"], "from": ["A1"], "to": ["A2"]}');
INSERT INTO public.station_event VALUES (199, 'test', '2026-09-01 12:15:31+08', 'swap.step_started', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "admitting", "seq": 29, "command": "ADMIT", "tries": 0}');
INSERT INTO public.station_event VALUES (200, 'test', '2026-09-01 12:16:14+08', 'swap.step_done', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "admitting", "next": "checking", "seq": 29, "took_s": 44.0}');
INSERT INTO public.station_event VALUES (201, 'test', '2026-09-01 12:16:15+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "authorised", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (202, 'test', '2026-09-01 12:16:15+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "record", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (203, 'test', '2026-09-01 12:16:15+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "pack_available", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (204, 'test', '2026-09-01 12:16:15+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "vehicle_link", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (205, 'test', '2026-09-01 12:16:15+08', 'swap.step_done', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "checking", "next": "locating", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (206, 'test', '2026-09-01 12:16:16+08', 'swap.step_started', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "locating", "seq": 30, "command": "LOCATE", "tries": 0}');
INSERT INTO public.station_event VALUES (207, 'test', '2026-09-01 12:16:24+08', 'swap.step_done', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "locating", "next": "verifying", "seq": 30, "took_s": 9.0}');
INSERT INTO public.station_event VALUES (208, 'test', '2026-09-01 12:16:25+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "position", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (209, 'test', '2026-09-01 12:16:25+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "old_pack", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (210, 'test', '2026-09-01 12:16:25+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "new_pack_accepted", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (211, 'test', '2026-09-01 12:16:25+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "new_pack_power_off", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (212, 'test', '2026-09-01 12:16:25+08', 'swap.check', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"check": "robot_ready", "result": "pass", "tries": 0}');
INSERT INTO public.station_event VALUES (213, 'test', '2026-09-01 12:16:25+08', 'swap.step_done', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "verifying", "next": "unlocking", "seq": null, "took_s": 1.0}');
INSERT INTO public.station_event VALUES (214, 'test', '2026-09-01 12:16:26+08', 'swap.step_started', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "seq": 31, "command": "UNLOCK", "tries": 0}');
INSERT INTO public.station_event VALUES (215, 'test', '2026-09-01 12:16:27+08', 'fault.raised', 'controller', NULL, NULL, NULL, NULL, NULL, '{"name": "estop_pressed", "code": 1001, "level": 3, "source": "lane:L1"}');
INSERT INTO public.station_event VALUES (216, 'test', '2026-09-01 12:16:27+08', 'swap.held', 'controller', 'sw-6a965161d065717aee', NULL, NULL, 'L1', NULL, '{"state": "unlocking", "reason": "trip", "signal": "estop_ok"}');
INSERT INTO public.station_event VALUES (217, 'test', '2026-09-01 12:16:27+08', 'station.mode', 'controller', NULL, NULL, NULL, NULL, NULL, '{"from": "automatic", "to": "held", "trigger": "hold", "reason": "estop_ok"}');
INSERT INTO public.station_event VALUES (218, 'test', '2026-09-01 12:16:46+08', 'fault.acknowledged', 'Wang', NULL, NULL, NULL, NULL, NULL, '{"fault_id": 1, "code": 1001, "source": "lane:L1"}');
INSERT INTO public.swap VALUES ('sw-6a963fb52d9199b8a8', 'test', 'V1', 'bk-6a963fb532e89a9b8c', NULL, NULL, NULL, 'L1', 'top_lift', 1, 0, 'completed', 'pending', NULL, 0, '2026-09-01 11:05:16+08', NULL, NULL, '{}', '{"authorised": {"result": "pass", "tries": 0}, "record": {"result": "pass", "tries": 0}, "pack_available": {"result": "pass", "tries": 0}, "vehicle_link": {"result": "pass", "tries": 0}, "position": {"result": "pass", "tries": 0}, "old_pack": {"result": "pass", "tries": 0}, "new_pack_accepted": {"result": "pass", "tries": 0}, "new_pack_power_off": {"result": "pass", "tries": 0}, "robot_ready": {"result": "pass", "tries": 0}}', '2026-09-01 11:00:05+08', '2026-09-01 11:00:06+08', '2026-09-01 11:05:16+08', 'completed');
INSERT INTO public.swap VALUES ('sw-6a9640f97fbb751720', 'test', 'V2', 'bk-6a9640f6d99795976c', NULL, NULL, NULL, NULL, NULL, 1, 0, 'cancelled', 'pending', NULL, 0, '2026-09-01 11:05:29+08', NULL, NULL, '{}', '{}', '2026-09-01 11:05:29+08', NULL, '2026-09-01 11:05:32+08', 'cancelled by 李 Li');
INSERT INTO public.swap VALUES ('sw-6a96504cac7ad426d7', 'test', 'V3', 'bk-6a96504c3aff520c96', NULL, NULL, NULL, 'L1', 'top_lift', 1, 0, 'returned', 'pending', NULL, 0, '2026-09-01 12:14:59+08', NULL, NULL, '{}', '{"authorised": {"result": "pass", "tries": 0}, "record": {"result": "pass", "tries": 0}, "pack_available": {"result": "pass", "tries": 0}, "vehicle_link": {"result": "pass", "tries": 0}, "position": {"result": "pass", "tries": 0}, "old_pack": {"result": "pass", "tries": 0}, "new_pack_accepted": {"result": "pass", "tries": 0}, "new_pack_power_off": {"result": "pass", "tries": 0}, "robot_ready": {"result": "pass", "tries": 0}}', '2026-09-01 12:10:52+08', '2026-09-01 12:10:53+08', '2026-09-01 12:14:59+08', 'returned');
INSERT INTO public.swap VALUES ('sw-6a9640fffc18fa985f', 'test', 'V2', NULL, NULL, NULL, NULL, 'L1', 'top_lift', 1, 0, 'completed', 'pending', NULL, 0, '2026-09-01 11:10:42+08', NULL, NULL, '{}', '{"authorised": {"result": "pass", "tries": 0}, "record": {"result": "pass", "tries": 0}, "pack_available": {"result": "pass", "tries": 0}, "vehicle_link": {"result": "pass", "tries": 0}, "position": {"result": "pass", "tries": 0}, "old_pack": {"result": "pass", "tries": 0}, "new_pack_accepted": {"result": "pass", "tries": 0}, "new_pack_power_off": {"result": "pass", "tries": 0}, "robot_ready": {"result": "pass", "tries": 0}}', '2026-09-01 11:05:35+08', '2026-09-01 11:05:36+08', '2026-09-01 11:10:42+08', 'completed');
INSERT INTO public.swap VALUES ('sw-6a965161d065717aee', 'test', 'V1', 'bk-6a96516196d4175f0e', NULL, 'V1', 'test:L1', 'L1', 'top_lift', 1, 0, 'unlocking', 'held', 31, 0, '2026-09-01 12:16:25+08', '2026-09-01 12:17:25+08', 'trip', '{"signal": "estop_ok"}', '{"authorised": {"result": "pass", "tries": 0}, "record": {"result": "pass", "tries": 0}, "pack_available": {"result": "pass", "tries": 0}, "vehicle_link": {"result": "pass", "tries": 0}, "position": {"result": "pass", "tries": 0}, "old_pack": {"result": "pass", "tries": 0}, "new_pack_accepted": {"result": "pass", "tries": 0}, "new_pack_power_off": {"result": "pass", "tries": 0}, "robot_ready": {"result": "pass", "tries": 0}}', '2026-09-01 12:15:29+08', '2026-09-01 12:15:30+08', NULL, '');
INSERT INTO public.swap_seat VALUES ('sw-6a963fb52d9199b8a8', 1, '0SXPB280000YQ1G510000011', '0SXPB280000YQ1G510000001', 'test:A4', 'test:A1', 112.80000000000001, 84.6, 30, 254.04383061938086, 90.08646475864569, true);
INSERT INTO public.swap_seat VALUES ('sw-6a9640f97fbb751720', 1, '0SXPB280000YQ1G510000012', NULL, NULL, NULL, 112.80000000000001, NULL, NULL, NULL, NULL, false);
INSERT INTO public.swap_seat VALUES ('sw-6a9640fffc18fa985f', 1, '0SXPB280000YQ1G510000012', '0SXPB280000YQ1G510000002', 'test:A1', 'test:A2', 112.80000000000001, 112.8, 40, 267.754641795827, 94.94845453752731, true);
INSERT INTO public.swap_seat VALUES ('sw-6a96504cac7ad426d7', 1, '0SXPB280000YQ1G510000013', '0SXPB280000YQ1G510000012', 'test:A2', 'test:A1', 112.80000000000001, NULL, NULL, NULL, NULL, false);
INSERT INTO public.swap_seat VALUES ('sw-6a965161d065717aee', 1, '0SXPB280000YQ1G510000001', '0SXPB280000YQ1G510000012', 'test:A2', 'test:A1', 254.04383061938086, NULL, NULL, NULL, NULL, false);
INSERT INTO public.vehicle VALUES ('V1', 101, 'tractor', 'fleet');
INSERT INTO public.vehicle VALUES ('V2', 102, 'tractor', 'fleet');
INSERT INTO public.vehicle VALUES ('V3', 103, 'tractor', 'fleet');
INSERT INTO public.vehicle VALUES ('V4', 104, 'tractor', 'fleet');
SELECT pg_catalog.setval('public.charge_session_id_seq', 5, true);
SELECT pg_catalog.setval('public.control_request_id_seq', 8, true);
SELECT pg_catalog.setval('public.fault_id_seq', 1, true);
SELECT pg_catalog.setval('public.robot_command_id_seq', 31, true);
SELECT pg_catalog.setval('public.site_sample_id_seq', 127, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.bay
    ADD CONSTRAINT pk_bay PRIMARY KEY (id);
ALTER TABLE ONLY public.bill
    ADD CONSTRAINT pk_bill PRIMARY KEY (id);
ALTER TABLE ONLY public.bill_line
    ADD CONSTRAINT pk_bill_line PRIMARY KEY (bill_id, line_no);
ALTER TABLE ONLY public.booking
    ADD CONSTRAINT pk_booking PRIMARY KEY (id);
ALTER TABLE ONLY public.charge_session
    ADD CONSTRAINT pk_charge_session PRIMARY KEY (id);
ALTER TABLE ONLY public.control_request
    ADD CONSTRAINT pk_control_request PRIMARY KEY (id);
ALTER TABLE ONLY public.controller_lease
    ADD CONSTRAINT pk_controller_lease PRIMARY KEY (station_id);
ALTER TABLE ONLY public.fault
    ADD CONSTRAINT pk_fault PRIMARY KEY (id);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT pk_pack PRIMARY KEY (id);
ALTER TABLE ONLY public.party
    ADD CONSTRAINT pk_party PRIMARY KEY (id);
ALTER TABLE ONLY public.robot_command
    ADD CONSTRAINT pk_robot_command PRIMARY KEY (id);
ALTER TABLE ONLY public.site_sample
    ADD CONSTRAINT pk_site_sample PRIMARY KEY (id);
ALTER TABLE ONLY public.station
    ADD CONSTRAINT pk_station PRIMARY KEY (id);
ALTER TABLE ONLY public.station_event
    ADD CONSTRAINT pk_station_event PRIMARY KEY (id);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT pk_swap PRIMARY KEY (id);
ALTER TABLE ONLY public.swap_seat
    ADD CONSTRAINT pk_swap_seat PRIMARY KEY (swap_id, seat);
ALTER TABLE ONLY public.vehicle
    ADD CONSTRAINT pk_vehicle PRIMARY KEY (id);
ALTER TABLE ONLY public.bay
    ADD CONSTRAINT uq_bay_station_id_position UNIQUE (station_id, "position");
ALTER TABLE ONLY public.bill
    ADD CONSTRAINT uq_bill_swap_id_kind UNIQUE (swap_id, kind);
ALTER TABLE ONLY public.booking
    ADD CONSTRAINT uq_booking_idempotency_key UNIQUE (idempotency_key);
ALTER TABLE ONLY public.charge_session
    ADD CONSTRAINT uq_charge_session_open_pack_id UNIQUE (open_pack_id);
ALTER TABLE ONLY public.fault
    ADD CONSTRAINT uq_fault_open_key UNIQUE (open_key);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT uq_pack_bay_id UNIQUE (bay_id);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT uq_pack_gripper_lane_id UNIQUE (gripper_lane_id);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT uq_pack_vehicle_id_seat UNIQUE (vehicle_id, seat);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT uq_swap_booking_id UNIQUE (booking_id);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT uq_swap_idempotency_key UNIQUE (idempotency_key);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT uq_swap_open_lane_id UNIQUE (open_lane_id);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT uq_swap_open_vehicle_id UNIQUE (open_vehicle_id);
ALTER TABLE ONLY public.vehicle
    ADD CONSTRAINT uq_vehicle_tag UNIQUE (tag);
CREATE INDEX ix_bay_station_id ON public.bay USING btree (station_id);
CREATE INDEX ix_bill_swap_id ON public.bill USING btree (swap_id);
CREATE INDEX ix_booking_station_id ON public.booking USING btree (station_id);
CREATE INDEX ix_charge_session_pack_id ON public.charge_session USING btree (pack_id);
CREATE INDEX ix_charge_session_station_id ON public.charge_session USING btree (station_id);
CREATE INDEX ix_control_request_station_id ON public.control_request USING btree (station_id);
CREATE INDEX ix_control_request_status ON public.control_request USING btree (status);
CREATE INDEX ix_fault_station_id ON public.fault USING btree (station_id);
CREATE INDEX ix_pack_kind ON public.pack USING btree (kind);
CREATE INDEX ix_pack_state ON public.pack USING btree (state);
CREATE INDEX ix_robot_command_lane_seq ON public.robot_command USING btree (lane_id, seq);
CREATE INDEX ix_robot_command_swap_id ON public.robot_command USING btree (swap_id);
CREATE INDEX ix_site_sample_at ON public.site_sample USING btree (at);
CREATE INDEX ix_station_event_kind ON public.station_event USING btree (kind);
CREATE INDEX ix_station_event_pack_id ON public.station_event USING btree (pack_id);
CREATE INDEX ix_station_event_station_id ON public.station_event USING btree (station_id);
CREATE INDEX ix_station_event_swap_id ON public.station_event USING btree (swap_id);
CREATE INDEX ix_swap_state ON public.swap USING btree (state);
CREATE INDEX ix_swap_station_id ON public.swap USING btree (station_id);
CREATE INDEX ix_swap_vehicle_id ON public.swap USING btree (vehicle_id);
CREATE UNIQUE INDEX uq_booking_open_vehicle ON public.booking USING btree (vehicle_id) WHERE ((status)::text = ANY ((ARRAY['booked'::character varying, 'arrived'::character varying])::text[]));
CREATE TRIGGER bill_line_no_change BEFORE DELETE OR UPDATE ON public.bill_line FOR EACH ROW EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER bill_line_no_truncate BEFORE TRUNCATE ON public.bill_line FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER bill_no_change BEFORE DELETE OR UPDATE ON public.bill FOR EACH ROW EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER bill_no_truncate BEFORE TRUNCATE ON public.bill FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER station_event_no_change BEFORE DELETE OR UPDATE ON public.station_event FOR EACH ROW EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER station_event_no_truncate BEFORE TRUNCATE ON public.station_event FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
ALTER TABLE ONLY public.bay
    ADD CONSTRAINT fk_bay_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.bill_line
    ADD CONSTRAINT fk_bill_line_bill_id FOREIGN KEY (bill_id) REFERENCES public.bill(id);
ALTER TABLE ONLY public.bill_line
    ADD CONSTRAINT fk_bill_line_payee_id FOREIGN KEY (payee_id) REFERENCES public.party(id);
ALTER TABLE ONLY public.bill
    ADD CONSTRAINT fk_bill_payer_id FOREIGN KEY (payer_id) REFERENCES public.party(id);
ALTER TABLE ONLY public.bill
    ADD CONSTRAINT fk_bill_swap_id FOREIGN KEY (swap_id) REFERENCES public.swap(id);
ALTER TABLE ONLY public.booking
    ADD CONSTRAINT fk_booking_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.booking
    ADD CONSTRAINT fk_booking_vehicle_id FOREIGN KEY (vehicle_id) REFERENCES public.vehicle(id);
ALTER TABLE ONLY public.charge_session
    ADD CONSTRAINT fk_charge_session_bay_id FOREIGN KEY (bay_id) REFERENCES public.bay(id);
ALTER TABLE ONLY public.charge_session
    ADD CONSTRAINT fk_charge_session_pack_id FOREIGN KEY (pack_id) REFERENCES public.pack(id);
ALTER TABLE ONLY public.charge_session
    ADD CONSTRAINT fk_charge_session_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.control_request
    ADD CONSTRAINT fk_control_request_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.controller_lease
    ADD CONSTRAINT fk_controller_lease_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.fault
    ADD CONSTRAINT fk_fault_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT fk_pack_bay_id FOREIGN KEY (bay_id) REFERENCES public.bay(id);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT fk_pack_owner_id FOREIGN KEY (owner_id) REFERENCES public.party(id);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT fk_pack_tank_station_id FOREIGN KEY (tank_station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT fk_pack_vehicle_id FOREIGN KEY (vehicle_id) REFERENCES public.vehicle(id);
ALTER TABLE ONLY public.robot_command
    ADD CONSTRAINT fk_robot_command_swap_id FOREIGN KEY (swap_id) REFERENCES public.swap(id);
ALTER TABLE ONLY public.site_sample
    ADD CONSTRAINT fk_site_sample_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.station_event
    ADD CONSTRAINT fk_station_event_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.station
    ADD CONSTRAINT fk_station_operator_id FOREIGN KEY (operator_id) REFERENCES public.party(id);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT fk_swap_booking_id FOREIGN KEY (booking_id) REFERENCES public.booking(id);
ALTER TABLE ONLY public.swap_seat
    ADD CONSTRAINT fk_swap_seat_swap_id FOREIGN KEY (swap_id) REFERENCES public.swap(id);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT fk_swap_station_id FOREIGN KEY (station_id) REFERENCES public.station(id);
ALTER TABLE ONLY public.swap
    ADD CONSTRAINT fk_swap_vehicle_id FOREIGN KEY (vehicle_id) REFERENCES public.vehicle(id);
ALTER TABLE ONLY public.vehicle
    ADD CONSTRAINT fk_vehicle_fleet_id FOREIGN KEY (fleet_id) REFERENCES public.party(id);
