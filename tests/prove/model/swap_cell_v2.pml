/*
The handshake of layout swap_cell_v2 (docs/integrators.md): a cell that fences every request, two places for a
controller, a network that delivers late, a person who confirms. Checked by spin; tests/prove/test_model.py runs it.

A request is decided in one step: read, decide, commit, write. The write arrives at once, late (a buffer, a thawed
process, a retransmission) or never. A controller can be paused, killed, stopped or replaced; its last commit can be
lost with the power; the cell can trip, lose power or be cut off. FAULTS of these happen in a run.

Each addition of v2 has a switch that leaves it out, and so has each rule of the station:

    NO_EPOCH        requests of another epoch are taken
    NO_WINDOW       a number is new when it is not the last one
    NO_HOLD_SEQ     holds and their withdrawals are taken in any order
    NO_DONE_RESULT  the acknowledgement takes the result away
    NO_TRIP_EPOCH   trips and pauses begin no epoch
    ACK_LEVEL       the acknowledgement acts as long as it stands in its register
    TOKEN_REUSE     a new life takes the token of the dead one over
    NUMBER_NOT_KEPT the number of a result that a person takes over is not used by that
    STALE_CONFIRM   a confirmation outlives a gap, and is written with the epoch of the writing

NOT_RETENTIVE: the cell forgets everything but its epoch with the power. NEW_RECORD: the record may be lost, and a named
person begins it anew with the number that the cell shows; whatever has been acknowledged is taken over with that. That
the number is used from then on keeps numbers apart for people and for cells without an epoch: here nothing rests on it,
and the exploration looks at it. ONLY=n checks property n alone. REACHED fails
when every command has ended: the model is not empty.

Not in it: seconds (a silence is an event), RESET, FIRE, chargers, fault words; a person who resets, homes and confirms
is one act; what the owner wrote before the cell noticed its silence is good.
*/

#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef COMMANDS
#define COMMANDS 2
#endif
#ifndef NUMBERS
#define NUMBERS 8 /* numbers run 1…NUMBERS and then 1 again; 0 is none */
#endif
#ifndef DB_START
#define DB_START 1 /* number used last, by the record … */
#endif
#ifndef CELL_START
#define CELL_START 1 /* … and by the cell */
#endif

#define ONE_MOTION 1       /* a decision starts one motion */
#define OWN_LIFE 2         /* only the life that owns the cell moves it */
#define PERSON 3           /* after a loss, a power cut or a trip nothing moves that was not decided after a confirmation */
#define RESULT_KEPT 4      /* no result is gone before it is on record, no command goes over an unknown result */
#define TRUE_RECORD 5      /* what is recorded of a command is what happened */
#define NO_STALE_RELEASE 6 /* a withdrawal releases only what it was decided on */
#define NO_STALE_HOLD 7    /* only the owner holds its cell */
#define PAUSE_PERSON 8     /* a paused motion goes on only by a confirmation of that pause */
#define OWNER_GIVES_UP 9   /* only the owner gives the cell up */
#define OWN_ANSWER 10      /* a command never gets another command's answer */
#define HEARD 11           /* a command of the owner in the present epoch is answered */
#define RESULT_WAITS 12    /* a result waits for an acknowledgement that was decided on it */

#ifdef ONLY
#define must(property, condition) if :: (condition) || property != ONLY :: else -> bad = property fi
#else
#define must(property, condition) if :: (condition) :: else -> bad = property fi
#endif

#ifdef NO_EPOCH
#define of_now(e) (1)
#else
#define of_now(e) ((e) == epoch)
#endif

#define next(n) (((n) % NUMBERS) + 1)
#define distance(a, b) (((a) + NUMBERS - (b)) % NUMBERS)
#define ahead(a, b) (distance(a, b) >= 1 && distance(a, b) < NUMBERS / 2)
#define bit_of(i) (1 << (i))

#define DONE 1
#define ABORTED 3

byte bad;
byte faults = FAULTS;

/* The cell. What a PLC does not know, and only the properties look at, is marked ghost. */
byte owner, epoch = 1, last = CELL_START, running, done, result, done_result, ack, ack_code, hold_seq;
bool first_command = true, first_hold = true, hold, paused, trip;
byte own_life, gen, ack_of, running_of, done_of, moved; /* ghost: life that owns; loss, power, trip counted; decisions */
byte truth[8]; /* ghost: by decision: 0 not begun, 1 runs, 2 done, 3 aborted */
byte moved_last; /* the decision that moved last: its sensors show it, and what it did cannot be done again */
byte newest_hold; /* ghost: newest hold request taken of the owner's life */
#ifdef ACK_LEVEL
byte ack_register = (DB_START % NUMBERS) + 1; /* left over from before */
#endif

/* Two places for a controller; one has the lease. */
#define DEAD 0
#define RUNS 1
#define STOPPED 2
byte place[2], life[2], token[2], seen[2], pressed[2], pressed_gen[2], asked[2];
bool held[2], owns[2], again[2];
byte lease, lives, confirmed_gen = 255;

/* The record, and what it was before the last commit. */
byte phase, number, decision, sent_in, used_last = DB_START, made, recorded;
byte phase_0, number_0, decision_0, sent_in_0, used_last_0 = DB_START, made_0, recorded_0;
byte decisions; /* ghost */
#define IDLE 0
#define SENT 1
#define STORED 2

/* Writes on their way. */
#define NOTHING 0
#define BEAT 1
#define COMMAND 2
#define ACK 3
#define HOLD 4
byte kind[2], m_epoch[2], m_token[2], m_value[2], m_seq[2], m_of[2], m_gen[2], m_life[2];
byte w_kind, w_epoch, w_token, w_value, w_seq, w_of, w_gen, w_life;

inline new_epoch() { epoch++; first_command = true; first_hold = true }

inline lost() { owner = 0; own_life = 0; gen++; new_epoch() }

inline end_motion(how)
{
    done = running; done_of = running_of; running = 0; running_of = 0; paused = false;
    result = how; done_result = how; truth[done_of] = (how == DONE -> 2 : 3);
#ifdef ACK_LEVEL
    if :: ack_register == done -> must(RESULT_WAITS, false); result = 0 :: else fi
#endif
}

/* A request reaches the cell. */
inline arrives()
{
    if
    :: w_kind == BEAT && of_now(w_epoch) ->
        if
        :: w_value == 0 && owner != 0 -> must(OWNER_GIVES_UP, w_life == own_life); lost()
        :: w_value != 0 && owner == 0 ->
            owner = w_value; own_life = w_life; newest_hold = 0; new_epoch()
        :: else
        fi
    :: w_kind == COMMAND && of_now(w_epoch) && owner != 0 && w_token == owner ->
        if
        :: w_seq == last -> ack = last
        :: w_seq != last ->
            if
#ifndef NO_WINDOW
            :: !first_command && !ahead(w_seq, last)
#endif
            :: else ->
                last = w_seq; first_command = false; ack = w_seq; ack_of = w_of;
                if
                :: running != 0 || result != 0 || hold || trip || paused -> ack_code = 2
                :: w_of == moved_last && truth[w_of] == 2 -> ack_code = 2 /* interlock */
                :: else ->
                    must(ONE_MOTION, !(moved & bit_of(w_of)));
                    must(OWN_LIFE, w_life == own_life);
                    must(PERSON, w_gen == gen && confirmed_gen == gen);
                    must(RESULT_KEPT, done_of == 0 || (recorded & bit_of(done_of)));
                    ack_code = 1; moved_last = w_of; moved = moved | bit_of(w_of); truth[w_of] = 1;
                    running = w_seq; running_of = w_of; done_result = 0
                fi
            fi
        fi
    :: w_kind == ACK ->
#ifdef ACK_LEVEL
        ack_register = w_seq;
#endif
        if
        :: of_now(w_epoch) && w_seq == done && result != 0 ->
            must(RESULT_WAITS, w_of == done_of);
            result = 0;
#ifdef NO_DONE_RESULT
            must(RESULT_KEPT, recorded & bit_of(done_of));
            done_result = 0
#endif
        :: else
        fi
    :: w_kind == HOLD && of_now(w_epoch) ->
        if
#ifdef NO_HOLD_SEQ
        :: true ->
#else
        :: first_hold || w_seq > hold_seq ->
#endif
            hold_seq = w_seq; first_hold = false;
            if
            :: w_value == 0 ->
                must(NO_STALE_RELEASE, w_life == own_life && w_gen == gen && w_seq > newest_hold);
                hold = false;
                if
                :: paused && !trip ->
                    must(PAUSE_PERSON, w_life == own_life && w_gen == gen && w_seq > newest_hold);
                    paused = false
                :: else
                fi
            :: else -> must(NO_STALE_HOLD, w_life == own_life); hold = true
            fi;
            if :: w_life == own_life && w_seq > newest_hold -> newest_hold = w_seq :: else fi
#ifndef NO_HOLD_SEQ
        :: else
#endif
        fi
    :: else
    fi
}

inline keep(s)
{
    kind[s] = w_kind; m_epoch[s] = w_epoch; m_token[s] = w_token; m_value[s] = w_value; m_seq[s] = w_seq;
    m_of[s] = w_of; m_gen[s] = w_gen; m_life[s] = w_life
}

inline forget()
{
    w_kind = 0; w_epoch = 0; w_token = 0; w_value = 0; w_seq = 0; w_of = 0; w_gen = 0; w_life = 0
}

inline dies(p)
{
    place[p] = DEAD; held[p] = false; owns[p] = false; pressed[p] = 0; pressed_gen[p] = 0; asked[p] = 0;
    again[p] = false; seen[p] = 0; life[p] = 0;
#ifndef TOKEN_REUSE
    token[p] = 0
#endif
}

byte me;
bool answered;

/* What place `me` has asked for leaves it: it arrives, or it is late, or lost, or its writer is stopped in the write. */
inline leaves()
{
    w_life = life[me];
    if
    :: arrives(); answered = true
    :: faults > 0 -> faults--
    :: faults > 0 && kind[0] == 0 -> faults--; keep(0)
    :: faults > 0 && kind[0] != 0 && kind[1] == 0 -> faults--; keep(1)
    :: faults > 0 && kind[0] == 0 -> faults--; keep(0); place[me] = STOPPED
    :: faults > 0 && kind[0] != 0 && kind[1] == 0 -> faults--; keep(1); place[me] = STOPPED
    fi;
    if
    :: w_kind == HOLD && w_value == 1 -> again[me] = !answered
    :: w_kind == HOLD && w_value == 0 && answered && !hold -> held[me] = false
    :: w_kind == HOLD && w_value == 0 && !(answered && !hold) -> again[me] = true
    :: w_kind == COMMAND && answered -> must(HEARD, ack == number)
    :: w_kind == BEAT && w_value == 0 -> dies(me)
    :: else
    fi;
    forget()
}

inline commit()
{
    phase_0 = phase; number_0 = number; decision_0 = decision; used_last_0 = used_last; made_0 = made;
    recorded_0 = recorded; sent_in_0 = sent_in
}

inline roll_back()
{
    phase = phase_0; number = number_0; decision = decision_0; used_last = used_last_0; made = made_0;
    recorded = recorded_0; sent_in = sent_in_0
}

inline born(p)
{
    lives++; life[p] = lives;
#ifdef TOKEN_REUSE
    token[p] = (token[p] == 0 -> lives : token[p]);
#else
    token[p] = lives;
#endif
    place[p] = RUNS; held[p] = true; owns[p] = false; pressed[p] = 0; pressed_gen[p] = 0; asked[p] = 0;
    again[p] = false; seen[p] = 0
}

/* The record has no result for the command that ended last: also when its result has been acknowledged. */
#ifdef NO_DONE_RESULT
#define shown_result result
#else
#define shown_result done_result
#endif
#define unknown_result \
    (shown_result != 0 && running == 0 && !(recorded & bit_of(done_of)) && !(phase == SENT && done == number))
#define works(p) (place[p] == RUNS && lease == p)
#define sees(p) (works(p) && owns[p] && owner == token[p] && epoch == seen[p])
#define unheard (running == 0 && result == 0 && last != number && done != number)
#define may_go(p) (sees(p) && !held[p] && !hold && !trip && !unknown_result)
#ifdef NO_DONE_RESULT
#define ended (done == number && running != number && truth[decision] != 0)
#else
#define ended (done == number && running != number && done_result != 0)
#endif

inline looks(p)
{
    if
    :: owner == token[p] -> owns[p] = true
    :: else -> owns[p] = false
    fi;
    seen[p] = epoch; held[p] = true; again[p] = false;
#ifndef STALE_CONFIRM
    pressed[p] = 0; pressed_gen[p] = 0
#endif
}

inline asks_hold(p, wanted, seen_in, known)
{
    me = p; asked[p]++;
    w_kind = HOLD; w_value = wanted; w_seq = asked[p]; w_epoch = seen_in; w_gen = known
}

inline new_command()
{
    commit();
    used_last = next((used_last == 0 || ahead(last, used_last) -> last : used_last));
    decisions++;
    number = used_last; decision = decisions; phase = SENT; sent_in = epoch
}

inline asks_command(p)
{
    me = p; w_kind = COMMAND; w_epoch = epoch; w_token = token[p]; w_seq = number; w_of = decision; w_gen = gen
}

inline begins_record()
{
    phase = IDLE; number = 0; decision = 0; sent_in = 0;
    recorded = (result == 0 && running == 0 -> bit_of(done_of) : 0);
    used_last = last;
    commit()
}

inline stores(p, how)
{
    phase = STORED; recorded = recorded | bit_of(decision); held[p] = (held[p] || how != 2);
    made = (how == 2 -> made + 1 : made)
}

inline controller(p)
{
    if
    /* It looks: a loss, a trip, any epoch that is new to it and a result that no record knows hold it, and end a
       confirmation. */
    :: works(p) && ((owner == token[p]) != owns[p] || epoch != seen[p] || ((trip || unknown_result) && !held[p])) ->
        looks(p)
    :: works(p) && owner == 0 && !owns[p] && seen[p] == epoch ->
        me = p; w_kind = BEAT; w_epoch = epoch; w_value = token[p]
    :: sees(p) && held[p] && pressed[p] == 0 && (!hold || again[p]) -> asks_hold(p, 1, epoch, gen)
    /* A person sees the cell as it is and confirms; the withdrawal follows. */
    :: sees(p) && held[p] && hold && !trip && !again[p] && pressed[p] == 0 && !unknown_result ->
        pressed[p] = epoch; pressed_gen[p] = gen; confirmed_gen = gen
#ifdef STALE_CONFIRM
    :: works(p) && owns[p] && pressed[p] != 0 && owner == token[p] -> asks_hold(p, 0, epoch, pressed_gen[p]);
#else
    :: sees(p) && pressed[p] != 0 -> asks_hold(p, 0, pressed[p], pressed_gen[p]);
#endif
        pressed[p] = 0; pressed_gen[p] = 0
    /* A result that no record knows: a named person takes it over, and its number is used. */
    :: sees(p) && held[p] && unknown_result ->
        commit(); recorded = recorded | bit_of(done_of); number = done; decision = done_of; phase = STORED;
#ifndef NUMBER_NOT_KEPT
        used_last = (ahead(done, used_last) -> done : used_last)
#endif
    :: may_go(p) && running == 0 && result == 0 && phase != SENT && made < COMMANDS -> new_command(); asks_command(p)
    /* Unheard: the same number again within its epoch; in a later one it is given up, and its copies are dead. */
    :: may_go(p) && phase == SENT && unheard && epoch == sent_in -> asks_command(p)
    :: sees(p) && phase == SENT && unheard && epoch != sent_in -> commit(); phase = IDLE; sent_in = 0
    :: works(p) && phase == SENT && running != number && ended ->
        commit();
        must(OWN_ANSWER, done_of == decision);
#ifdef NO_DONE_RESULT
        /* A result that is gone is judged by the sensors, and they agree. */
        must(TRUE_RECORD, truth[decision] == (result == 0 || result == DONE -> 2 : 3));
#else
        must(TRUE_RECORD, truth[decision] == (done_result == DONE -> 2 : 3));
#endif
        stores(p, truth[decision])
    :: works(p) && phase == SENT && running != number && !ended && ack == number && last == number && ack_code == 2 ->
        commit();
        must(OWN_ANSWER, ack_of == decision);
        if
        :: moved_last == decision && truth[decision] == 2 -> stores(p, 2) /* the sensors show it done */
        :: else -> must(TRUE_RECORD, truth[decision] == 0); phase = IDLE
        fi;
        held[p] = true
    :: sees(p) && phase == STORED && done == number && result != 0 ->
        me = p; w_kind = ACK; w_epoch = epoch; w_seq = number; w_of = decision
    /* What happens to a controller. */
    :: place[p] == RUNS && lease != p -> dies(p)
    :: place[p] == RUNS && faults > 0 -> faults--; place[p] = STOPPED
    :: place[p] == STOPPED ->
        place[p] = RUNS; held[p] = true;
#ifndef STALE_CONFIRM
        pressed[p] = 0; pressed_gen[p] = 0
#endif
    :: place[p] != DEAD && faults > 0 -> faults--; dies(p)
    :: place[p] != DEAD && lease == p && faults > 0 -> faults--; dies(p); roll_back()
    :: sees(p) && faults > 0 -> faults--; me = p; w_kind = BEAT; w_epoch = epoch; w_value = 0 /* a clean stop */
    :: sees(p) && faults > 0 && kind[0] == 0 -> /* a copy of its heartbeat stays in a buffer */
        faults--; w_kind = BEAT; w_epoch = epoch; w_value = token[p]; w_life = life[p]; keep(0); forget()
#ifdef NEW_RECORD
    /* The record is lost; a named person begins it anew for a cell that has worked before. */
    :: place[p] == DEAD && lease == p && faults > 0 -> faults--; begins_record()
#endif
    :: place[p] == DEAD && lease == p -> born(p)
    :: place[p] == DEAD && lease != p && place[lease] != RUNS -> lease = p; born(p)
    fi
}

#define heard_of_owner ((place[0] == RUNS && life[0] == own_life) || (place[1] == RUNS && life[1] == own_life))
#define finished (made >= COMMANDS && phase != SENT && result == 0)

byte at;

inline delivers()
{
    w_kind = kind[at]; w_epoch = m_epoch[at]; w_token = m_token[at]; w_value = m_value[at]; w_seq = m_seq[at];
    w_of = m_of[at]; w_gen = m_gen[at]; w_life = m_life[at];
    arrives(); forget(); keep(at); at = 0
}

inline cell()
{
    if
    :: running != 0 && !paused -> end_motion(DONE)
    :: owner != 0 && !heard_of_owner -> lost()
    :: owner != 0 && faults > 0 -> faults--; lost() /* cut off for longer than its patience */
    :: trip -> trip = false
    :: !trip && faults > 0 ->
        faults--; trip = true; gen++;
#ifndef NO_TRIP_EPOCH
        new_epoch();
#endif
        if
        :: running != 0 -> paused = true
        :: running != 0 -> end_motion(ABORTED)
        :: else
        fi
    :: faults > 0 -> /* power: what ran is aborted, a person has to come */
        faults--;
        if :: running != 0 -> end_motion(ABORTED) :: else fi;
        lost();
#ifdef NOT_RETENTIVE
        last = 0; done = 0; done_of = 0; result = 0; done_result = 0; ack = 0; ack_code = 0; ack_of = 0; hold = false;
        hold_seq = 0;
#endif
    :: kind[0] != 0 || kind[1] != 0 ->
        if :: kind[0] != 0 -> at = 0 :: kind[1] != 0 -> at = 1 fi;
        delivers()
    fi
}

inline judged()
{
    answered = false; me = 0;
    assert(bad != ONE_MOTION); assert(bad != OWN_LIFE); assert(bad != PERSON); assert(bad != RESULT_KEPT);
    assert(bad != TRUE_RECORD); assert(bad != NO_STALE_RELEASE); assert(bad != NO_STALE_HOLD);
    assert(bad != PAUSE_PERSON); assert(bad != OWNER_GIVES_UP); assert(bad != OWN_ANSWER); assert(bad != HEARD);
    assert(bad != RESULT_WAITS);
#ifdef REACHED
    assert(!finished)
#endif
}

/* It ends when every command is done, recorded and acknowledged; where nothing can happen before, spin tells it. */
active proctype world()
{
    do
    :: atomic {
        if :: controller(0) :: controller(1) fi;
        if :: w_kind != 0 -> leaves() :: else fi;
        judged()
    }
    :: atomic { cell(); judged() }
    :: finished -> break
    od
}
